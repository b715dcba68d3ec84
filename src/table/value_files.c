#include "table/value_files.h"

#include <stdlib.h>

#include "util/escape.h"
#include "util/file.h"

#define VALUE_MAX ((size_t)64 << 20)

bool value_files_read(struct span names, struct strbuf *base64, struct err *err)
{
    struct strbuf all = STRBUF_INIT, one = STRBUF_INIT;
    struct span name, all_names = names;
    bool ok = true, first = true;

    while (ok && span_token(&names, ", \t\r\n", &name)) {
        char *path = xstrndup(name.ptr, name.len);
        strbuf_reset(&one);
        ok = file_read_all(path, VALUE_MAX, &one, err);
        if (ok && all.len + one.len > VALUE_MAX)
            ok = err_set(err, "read %s: more than %zu bytes", path, VALUE_MAX);
        if (!first)
            strbuf_add_char(&all, '\n');
        strbuf_add_span(&all, strbuf_span(&one));
        first = false;
        free(path);
    }
    if (ok && first)
        ok = err_set(err, "empty pathname list: >>%.*s<<'", SPAN_ARG(all_names));
    if (ok)
        base64_encode(base64, strbuf_span(&all));
    strbuf_free(&all);
    strbuf_free(&one);
    return ok;
}
