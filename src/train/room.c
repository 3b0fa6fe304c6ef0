/* replaced by the room's own files */
typedef int wmk_train_empty;
