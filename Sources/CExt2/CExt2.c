#include "CExt2.h"

#include <ext2fs/ext2fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Entries of a directory that are looked at: each is a few bytes of untrusted disk.
enum { entry_limit = 100000 };

struct tidemark_ext2 {
  ext2_filsys system;
  tidemark_ext2_reader reader;
  void *context;
  uint64_t size;
};

// ext2fs_open gives its manager nothing but a name: it is the address of what is to be read.
static errcode_t open_channel(const char *name, int flags, io_channel *channel) {
  void *owner = NULL;
  if (flags & IO_FLAG_RW) return EXT2_ET_RO_FILSYS;
  if (sscanf(name, "%p", &owner) != 1) return EXT2_ET_BAD_DEVICE_NAME;
  io_channel made = calloc(1, sizeof *made);
  if (!made) return EXT2_ET_NO_MEMORY;
  made->name = strdup(name);
  if (!made->name) {
    free(made);
    return EXT2_ET_NO_MEMORY;
  }
  made->magic = EXT2_ET_MAGIC_IO_CHANNEL;
  made->block_size = 1024;
  made->refcount = 1;
  made->private_data = owner;
  extern struct struct_io_manager tidemark_ext2_manager;
  made->manager = &tidemark_ext2_manager;
  *channel = made;
  return 0;
}

static errcode_t close_channel(io_channel channel) {
  if (--channel->refcount > 0) return 0;
  free(channel->name);
  free(channel);
  return 0;
}

static errcode_t set_block_size(io_channel channel, int size) {
  if (size < 1 || size > 1 << 16) return EXT2_ET_UNEXPECTED_BLOCK_SIZE;
  channel->block_size = size;
  return 0;
}

// A negative count is one of bytes.
static errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void *data) {
  struct tidemark_ext2 *owner = channel->private_data;
  uint64_t length = count < 0 ? (uint64_t)-(int64_t)count : (uint64_t)count * (uint64_t)channel->block_size;
  uint64_t offset;
  if (__builtin_mul_overflow(block, (uint64_t)channel->block_size, &offset)) return EXT2_ET_SHORT_READ;
  if (length > owner->size || offset > owner->size - length) return EXT2_ET_SHORT_READ;
  return owner->reader(owner->context, offset, data, length) == 0 ? 0 : EXT2_ET_SHORT_READ;
}

static errcode_t read_few_blocks(io_channel channel, unsigned long block, int count, void *data) {
  return read_blocks(channel, block, count, data);
}

static errcode_t write_blocks(
    io_channel channel, unsigned long long block, int count, const void *data) {
  (void)channel, (void)block, (void)count, (void)data;
  return EXT2_ET_RO_FILSYS;
}

static errcode_t write_few_blocks(
    io_channel channel, unsigned long block, int count, const void *data) {
  return write_blocks(channel, block, count, data);
}

static errcode_t flush(io_channel channel) {
  (void)channel;
  return 0;
}

struct struct_io_manager tidemark_ext2_manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "tidemark",
    .open = open_channel,
    .close = close_channel,
    .set_blksize = set_block_size,
    .read_blk = read_few_blocks,
    .write_blk = write_few_blocks,
    .flush = flush,
    .read_blk64 = read_blocks,
    .write_blk64 = write_blocks,
};

struct tidemark_ext2 *tidemark_ext2_open(void *context, tidemark_ext2_reader reader, uint64_t size) {
  struct tidemark_ext2 *owner = calloc(1, sizeof *owner);
  if (!owner) return NULL;
  owner->reader = reader;
  owner->context = context;
  owner->size = size;
  char name[32];
  snprintf(name, sizeof name, "%p", (void *)owner);
  int flags = EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES | EXT2_FLAG_SKIP_MMP;
  if (ext2fs_open(name, flags, 0, 0, &tidemark_ext2_manager, &owner->system) != 0) {
    free(owner);
    return NULL;
  }
  return owner;
}

void tidemark_ext2_close(struct tidemark_ext2 *owner) {
  ext2fs_free(owner->system);
  free(owner);
}

void tidemark_ext2_identifier(struct tidemark_ext2 *owner, uint8_t bytes[16]) {
  memcpy(bytes, owner->system->super->s_uuid, 16);
}

// 0 if it was found, -1 if there is no such file, -2 if that can't be told.
static int find(struct tidemark_ext2 *owner, const char *path, ext2_ino_t *number, struct ext2_inode *node) {
  errcode_t code = ext2fs_namei_follow(owner->system, EXT2_ROOT_INO, EXT2_ROOT_INO, path, number);
  if (code == EXT2_ET_FILE_NOT_FOUND || code == EXT2_ET_NO_DIRECTORY) return -1;
  if (code != 0 || *number == 0 || *number > owner->system->super->s_inodes_count) return -2;
  return ext2fs_read_inode(owner->system, *number, node) == 0 ? 0 : -2;
}

int64_t tidemark_ext2_read(
    struct tidemark_ext2 *owner, const char *path, uint64_t offset, void *buffer, uint32_t capacity) {
  ext2_ino_t number = 0;
  struct ext2_inode node;
  int found = find(owner, path, &number, &node);
  if (found != 0) return found;
  if (!LINUX_S_ISREG(node.i_mode)) return -1;
  ext2_file_t file;
  if (ext2fs_file_open2(owner->system, number, &node, 0, &file) != 0) return -2;
  unsigned int got = 0;
  errcode_t code = ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, NULL);
  if (code == 0) code = ext2fs_file_read(file, buffer, capacity, &got);
  ext2fs_file_close(file);
  return code == 0 ? (int64_t)got : -2;
}

struct listing {
  void *context;
  tidemark_ext2_taker taker;
  int count;
  int is_cut;
};

static int take_entry(
    ext2_ino_t directory, int entry, struct ext2_dir_entry *dirent, int offset, int block_size,
    char *buffer, void *private) {
  (void)directory, (void)entry, (void)offset, (void)block_size, (void)buffer;
  struct listing *listing = private;
  int length = ext2fs_dirent_name_len(dirent);
  if (++listing->count > entry_limit) {
    listing->is_cut = 1;
    return DIRENT_ABORT;
  }
  const char *name = dirent->name;
  if ((length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.')) return 0;
  return listing->taker(listing->context, name, length) == 0 ? 0 : DIRENT_ABORT;
}

int tidemark_ext2_list(
    struct tidemark_ext2 *owner, const char *path, void *context, tidemark_ext2_taker taker) {
  ext2_ino_t number = 0;
  struct ext2_inode node;
  int found = find(owner, path, &number, &node);
  if (found != 0) return found;
  if (!LINUX_S_ISDIR(node.i_mode)) return -1;
  struct listing listing = {.context = context, .taker = taker};
  errcode_t code = ext2fs_dir_iterate2(owner->system, number, 0, NULL, take_entry, &listing);
  return code == 0 && !listing.is_cut ? 0 : -2;
}

int tidemark_ext2_kind(struct tidemark_ext2 *owner, const char *path) {
  ext2_ino_t number = 0;
  struct ext2_inode node;
  int found = find(owner, path, &number, &node);
  if (found != 0) return found == -1 ? 0 : -2;
  if (LINUX_S_ISREG(node.i_mode)) return 1;
  return LINUX_S_ISDIR(node.i_mode) ? 2 : 3;
}
