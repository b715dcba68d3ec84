#include "table/lmdb_view.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table/lmdb_page.h"
#include "util/file.h"

#define PAGE_SIZE_MIN  256u
#define PAGE_SIZE_MAX  65536u
#define STABLE_TRIES   1000
#define STABLE_WAIT_US 100
#define MAP_SLACK      (1024u * 1024)

struct meta_page {
    struct lmdb_page page;
    struct lmdb_meta meta;
};

/* -- meta pages -- */

static bool read_at(int fd, void *data, size_t len, size_t offset)
{
    return pread(fd, data, len, (off_t)offset) == (ssize_t)len;
}

static bool read_metas(int fd, size_t page_size, struct meta_page metas[2])
{
    return read_at(fd, &metas[0], sizeof metas[0], 0) &&
           read_at(fd, &metas[1], sizeof metas[1], page_size);
}

/* Three looks that agree (lmdb_view.h). */
static bool read_stable_metas(int fd, size_t page_size, struct meta_page metas[2])
{
    struct meta_page before[2], after[2];

    for (int i = 0; i < STABLE_TRIES; i++) {
        if (!read_metas(fd, page_size, before) || !read_metas(fd, page_size, metas) ||
            !read_metas(fd, page_size, after))
            return false;
        if (memcmp(before, metas, sizeof before) == 0 &&
            memcmp(after, metas, sizeof after) == 0)
            return true;
        usleep(STABLE_WAIT_US);
    }
    return false;
}

static bool page_size_is_sane(size_t size)
{
    return size >= PAGE_SIZE_MIN && size <= PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

static bool meta_is_sane(const struct lmdb_meta *meta, size_t page_size)
{
    return meta->magic == LMDB_MAGIC && meta->version == LMDB_VERSION &&
           meta->free_list.pad == page_size && meta->data.flags == 0 &&
           meta->data.depth <= LMDB_DEPTH_MAX &&
           meta->free_list.depth <= LMDB_DEPTH_MAX && meta->last_page >= 1 &&
           meta->last_page < SIZE_MAX / page_size - 1;
}

static struct lmdb_tree tree_of(const struct lmdb_meta_tree *tree)
{
    return (struct lmdb_tree){tree->root, tree->depth, tree->overflow_pages};
}

static bool add_pages(size_t *sum, const struct lmdb_meta_tree *tree, size_t limit)
{
    const size_t counts[] = {tree->branch_pages, tree->leaf_pages,
                             tree->overflow_pages};

    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        if (counts[i] > limit)
            return false;
        *sum += counts[i];
    }
    return true;
}

static bool adopt_meta(struct lmdb_view *view, const struct meta_page metas[2])
{
    const struct lmdb_meta *newest =
        &metas[metas[1].meta.txnid > metas[0].meta.txnid].meta;
    size_t used = 2;

    if (!meta_is_sane(&metas[0].meta, view->page_size) ||
        !meta_is_sane(&metas[1].meta, view->page_size) ||
        !add_pages(&used, &newest->data, newest->last_page) ||
        !add_pages(&used, &newest->free_list, newest->last_page) ||
        used > newest->last_page + 1)
        return false;
    view->txnid[0] = metas[0].meta.txnid;
    view->txnid[1] = metas[1].meta.txnid;
    view->last_page = newest->last_page;
    view->used = used;
    view->data = tree_of(&newest->data);
    view->free_list = tree_of(&newest->free_list);
    return true;
}

/* -- mapping -- */

size_t lmdb_view_file_size(const struct lmdb_view *view)
{
    return view->file_size;
}

/* More than the file has, so that it may grow for a while: address space only. */
static bool map_file(struct lmdb_view *view, int fd)
{
    size_t need = (view->last_page + 1) * view->page_size,
           size = need + need / 2 + MAP_SLACK;
    void *map;

    if (view->map && view->map_size >= need)
        return true;
    lmdb_view_close(view);
    map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        size = need;
        map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    }
    if (map == MAP_FAILED)
        return false;
    madvise(map, size, MADV_RANDOM);
    view->map = map;
    view->map_size = size;
    return true;
}

void lmdb_view_close(struct lmdb_view *view)
{
    if (view->map)
        munmap((void *)view->map, view->map_size);
    view->map = NULL;
}

static enum view_status failed(enum view_status status, const char *path,
                               const char *why, struct err *err)
{
    err_set(err, "open database %s: %s", path, why);
    return status;
}

static enum view_status adopt(struct lmdb_view *view, int fd,
                              const struct meta_page metas[2], const char *path,
                              struct err *err)
{
    struct stat st;

    if (!adopt_meta(view, metas))
        return failed(VIEW_DAMAGED, path, "the file is damaged, or no LMDB table", err);
    if (fstat(fd, &st) < 0)
        return failed(VIEW_RETRY, path, strerror(errno), err);
    /* A page that was taken and given back by one transaction may never have been
     * written, so the file need not reach to its last page. */
    if ((uintmax_t)st.st_size < view->used * view->page_size ||
        (uintmax_t)st.st_size < view->file_size)
        return failed(VIEW_RETRY, path, "the file has been cut off", err);
    view->file_size = (size_t)st.st_size;
    if (!map_file(view, fd))
        return failed(VIEW_RETRY, path, strerror(errno), err);
    return VIEW_OK;
}

enum view_status lmdb_view_refresh(struct lmdb_view *view, int fd, const char *path,
                                   struct err *err)
{
    struct meta_page metas[2];

    if (!read_stable_metas(fd, view->page_size, metas))
        return failed(VIEW_RETRY, path, "the file is changing, or has been cut off",
                      err);
    return adopt(view, fd, metas, path, err);
}

enum view_status lmdb_view_open(struct lmdb_view *view, int fd, const char *path,
                                struct err *err)
{
    struct meta_page first;

    memset(view, 0, sizeof *view);
    if (!read_at(fd, &first, sizeof first, 0))
        return failed(VIEW_RETRY, path, "the file is too short", err);
    if (first.meta.magic != LMDB_MAGIC)
        return failed(VIEW_DAMAGED, path, "this is not an LMDB table", err);
    if (first.meta.version != LMDB_VERSION)
        return failed(VIEW_DAMAGED, path, "file format of an unknown LMDB version",
                      err);
    if (!page_size_is_sane(first.meta.free_list.pad))
        return failed(VIEW_DAMAGED, path, "the file is damaged", err);
    view->page_size = first.meta.free_list.pad;
    return lmdb_view_refresh(view, fd, path, err);
}

static size_t txnid_now(const struct lmdb_view *view, size_t which)
{
    const unsigned char *at =
        view->map + which * view->page_size + offsetof(struct meta_page, meta.txnid);

    return __atomic_load_n((const size_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

bool lmdb_view_is_current(const struct lmdb_view *view)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return txnid_now(view, 0) == view->txnid[0] && txnid_now(view, 1) == view->txnid[1];
}
