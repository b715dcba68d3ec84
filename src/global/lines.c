#include "global/lines.h"

void lines_init(struct lines *lines, struct span text)
{
    *lines = (struct lines){.rest = text};
    strbuf_init(&lines->joined);
}

void lines_free(struct lines *lines)
{
    strbuf_free(&lines->joined);
}

static bool is_comment_or_blank(struct span line)
{
    struct span text = span_ltrim(line);

    return !text.len || text.ptr[0] == '#';
}

bool lines_next(struct lines *lines, struct span *line_out)
{
    strbuf_reset(&lines->joined);
    while (lines->rest.ptr) {
        struct span after = lines->rest;
        struct span line = span_cut(&after, '\n');

        if (!is_comment_or_blank(line)) {
            if (lines->joined.len && !ascii_space(line.ptr[0]))
                break;
            if (!lines->joined.len)
                lines->start = lines->next + 1;
            strbuf_add_span(&lines->joined, line);
        }
        lines->next++;
        lines->rest = after;
    }
    *line_out = strbuf_span(&lines->joined);
    return lines->joined.len > 0;
}
