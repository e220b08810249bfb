"""What the libraries on top of Theano 1.0 share."""
