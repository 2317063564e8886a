"""Accuracies that others have published, by benchmark and method."""

WSN = "WSN, ICML 2022"
# Only of the methods that we run, too; `evaluation.PUBLISHED` has those whose
# size was published.
ACCURACIES = {
    "permuted_mnist": {
        "separate": (0.9737, WSN),
        "joint": (0.9670, WSN),
        "ewc": (0.9201, WSN),
        "packnet": (0.9637, WSN),
        "wsn": (0.9614, f"{WSN}, 10 %"),
    },
    "split_cifar100": {
        "joint": (0.7975, WSN),
        "ewc": (0.7277, WSN),
        "packnet": (0.7239, WSN),
        "wsn": (0.7455, f"{WSN}, 10 %"),
    },
    "cifar100_superclasses": {
        "joint": (0.6100, WSN),
        "ewc": (0.5026, WSN),
        "packnet": (0.5878, WSN),
        "wsn": (0.6045, f"{WSN}, 10 %"),
    },
    "tiny_imagenet": {
        "joint": (0.7710, WSN),
        "packnet": (0.5546, WSN),
        "wsn": (0.7196, f"{WSN}, 10 %"),
    },
    "five_datasets": {
        "separate": (0.9344, WSN),
        "joint": (0.9154, WSN),
        "ewc": (0.8864, WSN),
        "packnet": (0.9281, WSN),
        "wsn": (0.9267, f"{WSN}, 10 %"),
    },
    "omniglot_rotation": {
        "separate": (0.8213, WSN),
        "joint": (0.8123, WSN),
        "ewc": (0.6866, WSN),
        "packnet": (0.3070, WSN),
        "wsn": (0.8310, f"{WSN}, 10 %"),
    },
}
