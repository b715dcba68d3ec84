/* Queue file records: type (1 byte), length (base-128, low 7 bits first, 0x80 =
 * more follow), data. Facts: a record type is a letter; see enum rec_type. */
#ifndef GLOBAL_REC_H
#define GLOBAL_REC_H

#include "util/strbuf.h"

enum rec_type {
    REC_EOF = -1,
    REC_BROKEN = -2, /* bad length, or data beyond the end of input */
    REC_SIZE = 'C',
    REC_TIME = 'T',
    REC_CTIME = 'c',
    REC_FULL_NAME = 'F',
    REC_INSPECT = 'I',
    REC_FILTER_OR_CONT = 'L',
    REC_SENDER = 'S',
    REC_DONE = 'D',
    REC_RCPT = 'R',
    REC_ORIG_RCPT = 'O',
    REC_CANCELLED = '/',
    REC_WARN_TIME = 'W',
    REC_ATTR = 'A',
    REC_KILLED = 'K',
    REC_REDIRECT = '>',
    REC_FLAGS = 'f',
    REC_DELAY = 'd',
    REC_MESSAGE = 'M',
    REC_LINE = 'N',
    REC_PADDING = 'w',
    REC_EXTRACTED = 'X',
    REC_RETURN_RECEIPT = 'r',
    REC_ERRORS_TO = 'e',
    REC_PRIORITY = 'P',
    REC_POINTER = 'p',
    REC_VERP = 'V',
    REC_DSN_RET = '<',
    REC_DSN_ENVID = 'i',
    REC_DSN_ORCPT = 'o',
    REC_DSN_NOTIFY = 'n',
    REC_MILTER_COUNT = 'm',
    REC_END = 'E',
};
#define REC_LEN_MAX (1 << 20) /* longest record that is accepted */

/* Appending. */
void rec_add(struct strbuf *sb, int type, struct span data);
void rec_add_str(struct strbuf *sb, int type, const char *data);
void rec_addf(struct strbuf *sb, int type, const char *fmt, ...) PRINTF_LIKE(3, 4);
void rec_add_attr(struct strbuf *sb, const char *name, struct span value);

/* Take one record off *input. Returns its type, REC_EOF at the end, REC_BROKEN. */
int rec_next(struct span *input, struct span *data_out);
/* Content as text lines <-> records: a line longer than line_limit becomes L
 * records and a last N. line has no line end. */
void rec_add_line(struct strbuf *sb, struct span line, size_t line_limit);

/* A buffered reader over a queue file with offsets and pointer records followed
 * (loops refused). Blocking file I/O: queue files are local. */
struct rec_reader {
    int fd;
    int64_t offset; /* of the record that rec_read returned last */
    int64_t next;   /* of the record behind it */
    int64_t file_size;
    char *buf; /* window over the file */
    size_t buf_len, buf_cap;
    int64_t buf_offset;
    bool jumped;
    int64_t travelled;    /* bytes read since the first pointer: bounds loops */
    bool follow_pointers; /* default true */
    int io_errno;         /* of a read that failed; the record was REC_BROKEN */
};
void rec_reader_init(struct rec_reader *r, int fd); /* fd stays the caller's */
void rec_reader_free(struct rec_reader *r);
void rec_reader_seek(struct rec_reader *r, int64_t offset);
/* data is borrowed until the next call. */
int rec_read(struct rec_reader *r, struct span *data_out);

/* As postcat -v shows it; "unknown_record_type". */
const char *rec_type_name(int type);

#endif
