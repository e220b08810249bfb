"""What every job on Theano needs, whichever library builds the network."""
