#include "cleanup/cleanup_out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "util/file.h"
#include "util/offload.h"

#define FLUSH_BYTES   (128 * 1024)
#define KEEP_BYTES    (160 * 1024) /* a buffer that grew beyond this is freed */
#define FIRST_BYTES   (12 * 1024)
#define SIZE_DATA_LEN 95 /* six numbers of 15 digits and the blanks between */
#define SIZE_RECORD   (SIZE_DATA_LEN + 2)

void cleanup_out_init(struct cleanup_out *out, const struct queue *queue)
{
    *out = (struct cleanup_out){
        .queue = queue, .queue_name = "", .fd = -1, .dir_sync = -1};
    strbuf_init(&out->buf);
}

void cleanup_out_free(struct cleanup_out *out)
{
    if (out->fd >= 0)
        cleanup_out_remove(out);
    strbuf_free(&out->buf);
}

bool cleanup_out_open(struct cleanup_out *out, const char *queue_name)
{
    static const char blanks[SIZE_DATA_LEN + 1] =
        "                                                            "
        "                                   ";

    out->flushed = 0;
    out->error = 0;
    out->queue_name = queue_name;
    strbuf_reset(&out->buf);
    strbuf_reserve(&out->buf, FIRST_BYTES);
    out->fd = queue_create(out->queue, queue_name, out->id, &out->time);
    if (out->fd < 0)
        return false;
    rec_add(&out->buf, REC_SIZE, span_of(blanks, SIZE_DATA_LEN));
    return true;
}

static void write_buffer(struct cleanup_out *out)
{
    if (!out->error && !file_write_full(out->fd, out->buf.ptr, out->buf.len))
        out->error = errno ? errno : EIO;
    out->flushed += (int64_t)out->buf.len;
    strbuf_reset(&out->buf);
}

void cleanup_out_relax(struct cleanup_out *out)
{
    if (out->buf.len >= FLUSH_BYTES)
        write_buffer(out);
}

static void format_size(const struct envelope *env, char text[SIZE_DATA_LEN + 1])
{
    snprintf(text, SIZE_DATA_LEN + 1, "%15lld %15lld %15lld %15d %15lld %15d",
             (long long)env->data_size, (long long)env->data_offset,
             (long long)env->rcpt_count, env->qmgr_opts, (long long)env->content_size,
             env->sendopts);
}

bool cleanup_out_finish(struct cleanup_out *out, const struct envelope *env)
{
    char text[SIZE_DATA_LEN + 1];

    format_size(env, text);
    if (out->flushed == 0)
        memcpy(out->buf.ptr + SIZE_RECORD - SIZE_DATA_LEN, text, SIZE_DATA_LEN);
    else if (!out->error && pwrite(out->fd, text, SIZE_DATA_LEN,
                                   SIZE_RECORD - SIZE_DATA_LEN) != SIZE_DATA_LEN)
        out->error = errno ? errno : EIO;
    write_buffer(out);
    return out->error == 0;
}

bool cleanup_out_move(struct cleanup_out *out, const char *queue_name)
{
    if (queue_rename(out->queue, out->queue_name, queue_name, out->id) < 0) {
        out->error = errno;
        return false;
    }
    out->queue_name = queue_name;
    return true;
}

/* The name must survive a crash as well, where the file system does not promise
 * that with the file's own fsync. */
static int sync_directory(const struct cleanup_out *out)
{
    char path[QUEUE_PATH_MAX];
    int fd, error;

    queue_path(out->queue, out->queue_name, out->id, path);
    *strrchr(path, '/') = '\0';
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    error = offload_fsync(fd);
    close(fd);
    return error;
}

bool cleanup_out_seal(struct cleanup_out *out)
{
    if (fchmod(out->fd, QUEUE_MODE_READY) < 0)
        out->error = errno;
    else
        out->error = offload_fsync(out->fd);
    if (out->dir_sync < 0)
        out->dir_sync = file_needs_dir_sync(out->fd);
    if (!out->error && out->dir_sync)
        out->error = sync_directory(out);
    return out->error == 0;
}

void cleanup_out_close(struct cleanup_out *out)
{
    close(out->fd);
    out->fd = -1;
    strbuf_reset(&out->buf);
    if (out->buf.cap > KEEP_BYTES)
        strbuf_free(&out->buf);
}

void cleanup_out_remove(struct cleanup_out *out)
{
    queue_remove(out->queue, out->queue_name, out->id);
    cleanup_out_close(out);
}
