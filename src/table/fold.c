#include "table/fold.h"

#include <stdlib.h>
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

struct span fold_key(struct span key, bool utf8, struct strbuf *buf)
{
    bool has_upper = false;
    unsigned char bits = 0;

    for (size_t i = 0; i < key.len; i++) {
        bits |= (unsigned char)key.ptr[i];
        has_upper |= key.ptr[i] >= 'A' && key.ptr[i] <= 'Z';
    }
    if (utf8 && (bits & 0x80) && span_is_utf8(key))
        return fold_unicode(key, buf);
    return has_upper ? fold_ascii(key, buf) : key;
}
