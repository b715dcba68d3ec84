#include "global/queue.h"

#include <stdio.h>

/* Digits and consonants, so that an id never spells a word. The last one is the
 * separator in front of the inode number, hence base 51 behind it. */
static const char digits52[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
#define BASE_TIME  52
#define BASE_INODE 51
#define SEC_MIN    6 /* digits */
#define USEC_LEN   4
#define ID_MAX     40 /* sizes of an id that is taken for one */

bool queue_id_valid(struct span id)
{
    if (id.len == 0 || id.len > ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!ascii_alnum(id.ptr[i]) && id.ptr[i] != '_')
            return false;
    return true;
}

bool queue_id_is_long(struct span id)
{
    return span_rchr(id, 'z') >= SEC_MIN + USEC_LEN;
}

void queue_id_short(char out[QUEUE_ID_MAX], int64_t usec, ino_t inode)
{
    snprintf(out, QUEUE_ID_MAX, "%05X%lX", (unsigned)usec, (unsigned long)inode);
}

/* Append number in base, at least min_len digits. */
static char *encode(char *out, uint64_t number, unsigned base, size_t min_len)
{
    char reversed[24];
    size_t len = 0;

    while (number > 0 || len < min_len || len == 0) {
        reversed[len++] = digits52[number % base];
        number /= base;
    }
    while (len > 0)
        *out++ = reversed[--len];
    return out;
}

void queue_id_long(char out[QUEUE_ID_MAX], int64_t sec, int64_t usec, ino_t inode)
{
    char *cp = encode(out, (uint64_t)sec, BASE_TIME, SEC_MIN);

    cp = encode(cp, (uint64_t)usec, BASE_TIME, USEC_LEN);
    *cp++ = digits52[BASE_INODE];
    cp = encode(cp, (uint64_t)inode, BASE_INODE, 1);
    *cp = '\0';
}

static bool decode(struct span text, int64_t *number_out)
{
    int64_t number = 0;

    for (size_t i = 0; i < text.len; i++) {
        const char *digit = memchr(digits52, text.ptr[i], BASE_TIME);

        if (!digit || number > (INT64_MAX - BASE_TIME) / BASE_TIME)
            return false;
        number = number * BASE_TIME + (digit - digits52);
    }
    *number_out = number;
    return true;
}

bool queue_id_time(struct span id, int64_t *sec_out, int64_t *usec_out)
{
    ssize_t mark = span_rchr(id, digits52[BASE_INODE]);

    if (!queue_id_is_long(id))
        return false;
    return decode(span_first(id, (size_t)mark - USEC_LEN), sec_out) &&
           decode(span_of(id.ptr + mark - USEC_LEN, USEC_LEN), usec_out) &&
           *usec_out < 1000000;
}
