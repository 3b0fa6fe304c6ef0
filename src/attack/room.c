/* replaced by the room's own files */
typedef int wmk_attack_empty;
