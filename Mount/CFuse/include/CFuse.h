#ifndef TIDEMARK_CFUSE_H
#define TIDEMARK_CFUSE_H

#define FUSE_USE_VERSION 312
#include <fuse3/fuse.h>
#include <fuse3/fuse_lowlevel.h>

#endif
