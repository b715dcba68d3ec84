#include <stdlib.h>

#include "global/rec.h"
#include "smtpd/smtpd.h"

#define CHUNK_READ (64 * 1024) /* most that is taken at once */

/* State of the copy: where in a line we are decides about dots. */
struct copy {
    struct smtpd_session *s;
    struct strbuf *records;
    size_t line_limit;
    int64_t size, size_limit; /* bytes of content with CR LF ends */
    enum smtpd_bare_lf bare_lf;
    bool in_line;    /* behind the first piece of a long line */
    bool after_crlf; /* the line before ended properly */
    bool too_big;
};

static void add_piece(struct copy *c, int type, struct span piece)
{
    c->size += (int64_t)piece.len + (type == REC_LINE ? 2 : 0);
    if (c->size_limit > 0 && c->size > c->size_limit)
        c->too_big = true;
    if (!c->too_big && !c->s->trans.write_failed)
        rec_add(c->records, type, piece);
}

/* A line that is just a dot. Where servers disagree about bare newlines, so do they
 * about which of these ends a message: normalized, only a proper one does, and the
 * others vanish. */
enum dot { DOT_FINAL, DOT_DROPPED };
static enum dot classify_dot(const struct copy *c, bool crlf)
{
    if (c->bare_lf != SMTPD_BARE_LF_NORMALIZE)
        return DOT_FINAL;
    return crlf && c->after_crlf ? DOT_FINAL : DOT_DROPPED;
}

static void note_bare_lf(struct copy *c)
{
    c->s->trans.bare_lf = true;
    smtpd_bare_lf_allowed(c->s);
}

/* One line, or the last piece of one. True: it was the final dot. */
static bool end_line(struct copy *c, struct span line, bool crlf)
{
    if (!crlf && c->bare_lf != SMTPD_BARE_LF_ALLOW)
        note_bare_lf(c);
    if (!c->in_line && line.len > 0 && line.ptr[0] == '.') {
        if (line.len == 1) {
            enum dot dot = classify_dot(c, crlf);

            c->after_crlf = crlf;
            return dot == DOT_FINAL;
        }
        line = span_skip(line, 1);
    }
    while (line.len > c->line_limit) {
        add_piece(c, REC_FILTER_OR_CONT, span_first(line, c->line_limit));
        line = span_skip(line, c->line_limit);
    }
    add_piece(c, REC_LINE, line);
    c->in_line = false;
    c->after_crlf = crlf;
    return false;
}

/* As of old, any number of CR may stand before the LF. */
static bool strip_cr(const struct copy *c, struct span *line)
{
    size_t len = line->len;

    while (line->len > 0 && line->ptr[line->len - 1] == '\r' &&
           (line->len == len || c->bare_lf == SMTPD_BARE_LF_ALLOW))
        line->len--;
    return line->len < len;
}

/* Take whole lines off the input. True: the final dot came. */
static bool take_lines(struct copy *c, struct span *input)
{
    const char *lf;

    while (input->len > 0 && (lf = memchr(input->ptr, '\n', input->len)) != NULL) {
        struct span line = span_of(input->ptr, (size_t)(lf - input->ptr));
        bool crlf;

        *input = span_skip(*input, line.len + 1);
        crlf = strip_cr(c, &line);
        if (end_line(c, line, crlf))
            return true;
    }
    return false;
}

/* A line longer than the limit goes on in the next record. Its last byte stays: it
 * may be the CR of the line end. */
static void take_long(struct copy *c, struct span *input)
{
    while (input->len > c->line_limit + 1) {
        struct span piece = span_first(*input, c->line_limit);

        *input = span_skip(*input, piece.len);
        if (!c->in_line && piece.ptr[0] == '.')
            piece = span_skip(piece, 1);
        add_piece(c, REC_FILTER_OR_CONT, piece);
        c->in_line = true;
    }
}

/* Until the final dot; false: the session ended before. */
static bool copy_lines(struct copy *c)
{
    struct smtpd_session *s = c->s;
    size_t want = 1;
    bool done = false;

    while (!done) {
        struct span all, input;
        enum stream_status status = stream_need(s->stream, want, &all);

        if (status != STREAM_OK) {
            s->end = smtpd_end_of(s, status);
            return false;
        }
        input = all;
        done = take_lines(c, &input);
        if (!done)
            take_long(c, &input);
        stream_consume(s->stream, all.len - input.len);
        want = done ? 0 : input.len + 1;
        if (!s->trans.write_failed && !smtpd_sink_send(s->trans.msg, false))
            s->trans.write_failed = true;
    }
    return true;
}

static struct copy start_copy(struct smtpd_session *s)
{
    return (struct copy){.s = s,
                         .records = smtpd_sink_records(s->trans.msg),
                         .line_limit = (size_t)s->cfg->line_length_limit,
                         .size_limit = s->cfg->message_size_limit,
                         .bare_lf = smtpd_bare_lf_mode(s),
                         .after_crlf = true};
}

enum smtpd_content smtpd_content_copy(struct smtpd_session *s, int64_t *size_out)
{
    struct copy c = start_copy(s);
    bool complete;

    smtpd_restart_clock(s);
    complete = copy_lines(&c);
    *size_out = c.size;
    if (!complete)
        return SMTPD_CONTENT_ENDED;
    return c.too_big ? SMTPD_CONTENT_TOO_BIG : SMTPD_CONTENT_OK;
}

/* -- BDAT: so many bytes, whatever they are -- */

struct smtpd_chunks {
    struct copy copy;
    struct strbuf partial; /* a line whose end is in a later chunk */
};

struct smtpd_chunks *smtpd_chunks_new(struct smtpd_session *s)
{
    struct smtpd_chunks *chunks = xcalloc(1, sizeof *chunks);

    chunks->copy = start_copy(s);
    strbuf_init(&chunks->partial);
    return chunks;
}

void smtpd_chunks_free(struct smtpd_chunks *chunks)
{
    if (!chunks)
        return;
    strbuf_free(&chunks->partial);
    free(chunks);
}

int64_t smtpd_chunks_size(const struct smtpd_chunks *chunks)
{
    return chunks->copy.size + (int64_t)chunks->partial.len;
}

bool smtpd_chunks_too_big(const struct smtpd_chunks *chunks)
{
    return chunks->copy.too_big;
}

/* A dot means nothing here. */
static void add_line(struct copy *c, struct span line)
{
    while (line.len > c->line_limit) {
        add_piece(c, REC_FILTER_OR_CONT, span_first(line, c->line_limit));
        line = span_skip(line, c->line_limit);
    }
    add_piece(c, REC_LINE, line);
}

static void end_chunk_line(struct smtpd_chunks *chunks, struct span line)
{
    bool crlf;

    if (chunks->partial.len) {
        strbuf_add_span(&chunks->partial, line);
        line = strbuf_span(&chunks->partial);
    }
    crlf = strip_cr(&chunks->copy, &line);
    if (!crlf && chunks->copy.bare_lf != SMTPD_BARE_LF_ALLOW)
        note_bare_lf(&chunks->copy);
    add_line(&chunks->copy, line);
    strbuf_reset(&chunks->partial);
}

static void keep_partial(struct smtpd_chunks *chunks, struct span rest)
{
    struct copy *c = &chunks->copy;

    strbuf_add_span(&chunks->partial, rest);
    while (chunks->partial.len > c->line_limit + 1) {
        add_piece(c, REC_FILTER_OR_CONT,
                  span_first(strbuf_span(&chunks->partial), c->line_limit));
        strbuf_consume(&chunks->partial, c->line_limit);
    }
}

static void add_bytes(struct smtpd_chunks *chunks, struct span data)
{
    const char *lf;

    while (data.len > 0 && (lf = memchr(data.ptr, '\n', data.len)) != NULL) {
        size_t len = (size_t)(lf - data.ptr);

        end_chunk_line(chunks, span_first(data, len));
        data = span_skip(data, len + 1);
    }
    if (data.len)
        keep_partial(chunks, data);
}

bool smtpd_chunk_copy(struct smtpd_session *s, struct smtpd_chunks *chunks,
                      int64_t count)
{
    smtpd_restart_clock(s);
    while (count > 0) {
        struct span data;
        size_t want = count < CHUNK_READ ? (size_t)count : CHUNK_READ;
        enum stream_status status = stream_read_some(s->stream, want, &data);

        if (status != STREAM_OK) {
            s->end = smtpd_end_of(s, status);
            return false;
        }
        count -= (int64_t)data.len;
        if (!chunks)
            continue;
        add_bytes(chunks, data);
        if (!s->trans.write_failed && !smtpd_sink_send(s->trans.msg, false))
            s->trans.write_failed = true;
    }
    return true;
}

void smtpd_chunks_end(struct smtpd_chunks *chunks)
{
    if (chunks->partial.len) {
        add_line(&chunks->copy, strbuf_span(&chunks->partial));
        strbuf_reset(&chunks->partial);
    }
}
