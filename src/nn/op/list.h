/* op/list.h - one line an operator; each names a `const wmk_operator wmk_op_<name>` in a file of this folder. */
#define WMK_OPERATORS(X)                                                                                                                             \
    X(Add)                                                                                                                                           \
    X(AveragePool)                                                                                                                                   \
    X(BatchNormalization)                                                                                                                            \
    X(Conv)                                                                                                                                          \
    X(Flatten)                                                                                                                                       \
    X(Gemm)                                                                                                                                          \
    X(GlobalAveragePool)                                                                                                                             \
    X(MatMul)                                                                                                                                        \
    X(MaxPool)                                                                                                                                       \
    X(Relu)                                                                                                                                          \
    X(Sigmoid)                                                                                                                                       \
    X(SoftTargetCrossEntropy)                                                                                                                        \
    X(Softmax)                                                                                                                                       \
    X(SoftmaxCrossEntropyLoss)                                                                                                                       \
    X(Tanh)
