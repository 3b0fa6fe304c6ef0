/* replaced by the room's own files */
typedef int wmk_nn_empty;
