/* replaced by the room's own files */
typedef int wmk_mark_file_empty;
