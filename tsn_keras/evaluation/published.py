"""What others have published, to put own results beside.

Kang et al., 2022, Forget-free Continual Learning with Winning Subnetworks,
ICML, tables 1 and 2; docs/method.md tells their protocols from ours. Their
capacity counts weights by density and masks after a Huffman code, and no heads.
"""

# Of each benchmark: method, average accuracy, part of one dense network.
PUBLISHED = {
    "permuted_mnist": (
        ("single-task networks", 0.9737, 10.0),
        ("PackNet", 0.9637, 0.9638),
        ("SupSup", 0.9631, 1.2289),
        ("WSN 5 %", 0.9565, 0.2649),
        ("WSN 10 %", 0.9614, 0.4041),
        ("WSN 30 %", 0.9641, 0.7773),
        ("WSN 50 %", 0.9624, 0.9810),
    ),
    "five_datasets": (
        ("single-task networks", 0.9344, 5.0),
        ("PackNet", 0.9281, 0.8286),
        ("SupSup", 0.9328, 1.0427),
        ("WSN 5 %", 0.9161, 0.1726),
        ("WSN 10 %", 0.9267, 0.2801),
        ("WSN 50 %", 0.9341, 0.8610),
    ),
    "omniglot_rotation": (
        ("WSN 5 %", 0.8728, 0.7985),
        ("WSN 10 %", 0.8310, 0.8308),
    ),
    "split_cifar100": (
        ("PackNet", 0.7239, 0.9638),
        ("SupSup", 0.7547, 1.29),
        ("WSN 5 %", 0.7244, 0.2509),
        ("WSN 10 %", 0.7455, 0.3987),
        ("WSN 50 %", 0.7638, 0.9913),
    ),
    "cifar100_superclasses": (
        ("PackNet", 0.5878, 1.2665),
        ("SupSup", 0.6170, 1.6249),
        ("WSN 5 %", 0.5799, 0.2737),
        ("WSN 10 %", 0.6045, 0.3855),
        ("WSN 50 %", 0.6179, 0.8093),
    ),
    "tiny_imagenet": (
        ("PackNet", 0.5546, 1.8867),
        ("SupSup", 0.5960, 2.1452),
        ("WSN 5 %", 0.7122, 0.4198),
        ("WSN 10 %", 0.7196, 0.4865),
        ("WSN 50 %", 0.6906, 0.9203),
    ),
}
SOURCE = "WSN, Kang et al., ICML 2022, tables 1 and 2; heads left out"
