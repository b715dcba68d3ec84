#include "table/fold.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>

static struct span fold_ascii(struct span key, struct strbuf *buf)
{
    strbuf_reset(buf);
    strbuf_add_span(buf, key);
    for (size_t i = 0; i < buf->len; i++)
        buf->ptr[i] = ascii_lower(buf->ptr[i]);
    return strbuf_span(buf);
}

static struct span fold_unicode(struct span key, struct strbuf *buf)
{
    size_t len = 0;
    uint8_t *folded =
        u8_casefold((const uint8_t *)key.ptr, key.len, NULL, NULL, NULL, &len);

    if (!folded)
        return fold_ascii(key, buf);
    strbuf_reset(buf);
    strbuf_add(buf, folded, len);
    free(folded);
    return strbuf_span(buf);
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* Bit 7 of each byte: in high_out as it is, in the result set for 'A' to 'Z' (and the
 * same plus 128). Eight bytes at a time, for this is done for every
 * look-up, mostly to no effect. */
static uint64_t upper_bits(uint64_t word, uint64_t *high_out)
{
    uint64_t low = word & EACH_BYTE(0x7F);

    *high_out |= word & EACH_BYTE(0x80);
    return ((low + EACH_BYTE(0x80 - 'A')) & ~(low + EACH_BYTE(0x7F - 'Z'))) &
           EACH_BYTE(0x80);
}

struct span fold_key(struct span key, bool utf8, struct strbuf *buf)
{
    uint64_t upper = 0, high = 0, word;
    size_t i = 0;

    for (; i + sizeof(word) <= key.len; i += sizeof(word)) {
        memcpy(&word, key.ptr + i, sizeof(word));
        upper |= upper_bits(word, &high);
    }
    if (i < key.len) {
        word = 0;
        memcpy(&word, key.ptr + i, key.len - i);
        upper |= upper_bits(word, &high);
    }
    if (utf8 && high && span_is_utf8(key))
        return fold_unicode(key, buf);
    return upper ? fold_ascii(key, buf) : key;
}
