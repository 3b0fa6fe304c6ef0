/* Written by known_answers.py. */
#define TRAIN_PIXELS_CRC 0xae65dccdu
#define TRAIN_LABELS_CRC 0x2ed6e46au
#define TEST_PIXELS_CRC 0x12728439u
#define TEST_LABELS_CRC 0x242bc73fu
#define TRAIN_MEAN 0.286040604
#define TRAIN_DEVIATION 0.353024244
#define TEST_BATCH_CRC 0x1d96a65bu /* float, [64][3][32][32] */
#define ORDER_SEED_7_EPOCH_0                                                                                                                         \
    {                                                                                                                                                \
        14, 7, 4, 5, 19, 3, 17, 16, 1, 12, 0, 6, 9, 8, 13, 15, 10, 11, 18, 2                                                                         \
    }
#define ORDER_SEED_7_EPOCH_3                                                                                                                         \
    {                                                                                                                                                \
        14, 4, 9, 8, 17, 2, 10, 1, 3, 18, 15, 13, 5, 11, 0, 16, 19, 7, 6, 12                                                                         \
    }
