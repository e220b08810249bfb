"""CNN on CIFAR-10 in tinygrad."""

from tinygrad import Context, TinyJit, nn

from workloads.common import bench
from workloads.tinygrad import runtime


class Cnn:
    def __init__(self, dropout_conv, dropout_dense):
        self.conv1 = nn.Conv2d(3, 50, 3, padding=1)
        self.conv2 = nn.Conv2d(50, 50, 3, padding=1)
        self.conv3 = nn.Conv2d(50, 100, 3, padding=1)
        self.conv4 = nn.Conv2d(100, 100, 3, padding=1)
        self.fc1 = nn.Linear(100 * 8 * 8, 512)
        self.fc2 = nn.Linear(512, 10)
        self.dropout_conv, self.dropout_dense = dropout_conv, dropout_dense

    def __call__(self, x):
        x = self.conv1(x).relu()
        x = self.conv2(x).max_pool2d(2).relu().dropout(self.dropout_conv)
        x = self.conv3(x).relu()
        x = self.conv4(x).max_pool2d(2).relu().dropout(self.dropout_conv)
        x = self.fc1(x.flatten(1)).relu().dropout(self.dropout_dense)
        return self.fc2(x)


def build(job, devices):
    model = Cnn(job.settings["dropout_conv"], job.settings["dropout_dense"])
    return runtime.loaded(model, job.weights(), devices)


def run(job):
    devices = runtime.start(job)
    x_train, y_train, x_test, y_test = job.data()
    model = build(job, devices)
    optimizer = nn.optim.SGD(nn.state.get_parameters(model), lr=job.settings["lr"], momentum=job.settings["momentum"])

    @TinyJit
    @Context(TRAINING=1)
    def train_step(x, y):
        optimizer.zero_grad()
        loss = model(x).sparse_categorical_crossentropy(y).backward()
        return loss.realize(*optimizer.schedule_step())

    @TinyJit
    def scores(x):
        return model(x).realize()

    def train(x, y):
        return train_step(runtime.split(x, devices), runtime.split(y, devices))

    def predict(x):
        return scores(runtime.split(x, devices)).numpy()

    with job.compiling():
        x, y = x_train[: job.settings["batch"]], y_train[: job.settings["batch"]]
        runtime.rehearse(model, optimizer, lambda: (train(x, y), predict(x)))
    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(devices), weights=lambda: runtime.weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train(x, y).item)
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
