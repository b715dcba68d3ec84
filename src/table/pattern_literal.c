#include "table/pattern_literal.h"

#define DEPTH_MAX  50 /* of groups */
#define REPEAT_MAX 6  /* copies made of "x{6}" */

/* What a part of a pattern matches. */
struct part {
    bool exact;             /* the texts in words, and nothing else */
    struct word_list words; /* exact; may hold the empty text */
    struct word_lists *needs;
};

struct parser {
    struct arena *arena;
    enum pattern_syntax syntax;
    const char *at;
    unsigned depth;
    bool lost; /* met something unknown: nothing is certain */
};

/* A sequence of parts, as it is read: the exact texts that it ends in so far. */
struct sequence {
    bool exact;
    struct word_list tail;
    struct word_lists *needs;
};

static const struct part nothing = {.exact = true, .words = {.count = 1}};
static const struct part anything = {.exact = false};

static void parse_alternatives(struct parser *ps, struct part *out);

static struct part give_up(struct parser *ps)
{
    ps->lost = true;
    return anything;
}

static bool word_in_list(const struct word_list *list, struct span word)
{
    for (size_t i = 0; i < list->count; i++)
        if (span_eq(list->word[i], word))
            return true;
    return false;
}

static bool add_word(struct word_list *list, struct span word)
{
    if (word_in_list(list, word))
        return true;
    if (list->count == WORDS_MAX)
        return false;
    list->word[list->count++] = word;
    return true;
}

static void add_need(struct parser *ps, struct word_lists **needs,
                     const struct word_list *words)
{
    for (size_t i = 0; i < words->count; i++)
        if (words->word[i].len == 0)
            return;
    if (words->count == 0)
        return;
    struct word_list *kept = arena_alloc(ps->arena, sizeof(*kept));
    struct word_lists *entry = arena_alloc(ps->arena, sizeof(*entry));
    *kept = *words;
    *entry = (struct word_lists){kept, *needs};
    *needs = entry;
}

static void add_needs(struct word_lists **needs, const struct word_lists *more,
                      struct arena *arena)
{
    for (; more; more = more->next) {
        struct word_lists *entry = arena_alloc(arena, sizeof(*entry));
        *entry = (struct word_lists){more->list, *needs};
        *needs = entry;
    }
}

static struct span join(struct parser *ps, struct span a, struct span b)
{
    if (a.len == 0)
        return b;
    if (b.len == 0)
        return a;
    char *text = arena_alloc(ps->arena, a.len + b.len);
    memcpy(text, a.ptr, a.len);
    memcpy(text + a.len, b.ptr, b.len);
    return span_of(text, a.len + b.len);
}

/* Every text of a followed by every one of b; false: too much. */
static bool multiply(struct parser *ps, const struct word_list *a,
                     const struct word_list *b, struct word_list *out)
{
    out->count = 0;
    for (size_t i = 0; i < a->count; i++)
        for (size_t k = 0; k < b->count; k++)
            if (a->word[i].len + b->word[k].len > WORD_LEN_MAX ||
                !add_word(out, join(ps, a->word[i], b->word[k])))
                return false;
    return true;
}

static void begin_sequence(struct sequence *seq)
{
    *seq = (struct sequence){.exact = true, .tail = nothing.words};
}

/* The texts collected so far end here: one of them must occur. */
static void cut_sequence(struct parser *ps, struct sequence *seq,
                         const struct word_list *tail)
{
    add_need(ps, &seq->needs, &seq->tail);
    seq->exact = false;
    seq->tail = *tail;
}

static void append_part(struct parser *ps, struct sequence *seq,
                        const struct part *part)
{
    struct word_list longer;

    if (!part->exact) {
        cut_sequence(ps, seq, &nothing.words);
        add_needs(&seq->needs, part->needs, ps->arena);
    } else if (multiply(ps, &seq->tail, &part->words, &longer)) {
        seq->tail = longer;
    } else {
        cut_sequence(ps, seq, &part->words);
    }
}

static void append_repeated(struct parser *ps, struct sequence *seq, struct part *part,
                            unsigned min, unsigned max)
{
    if (min == 0 && max == 1 && part->exact && add_word(&part->words, SPAN_EMPTY)) {
        append_part(ps, seq, part);
        return;
    }
    unsigned copies = part->exact ? REPEAT_MAX : 1;
    for (unsigned i = 0; i < min && i < copies; i++)
        append_part(ps, seq, part);
    if (min != max || min > copies)
        append_part(ps, seq, &anything);
}

static struct part end_sequence(struct parser *ps, struct sequence *seq)
{
    struct part part = {.exact = seq->exact, .needs = seq->needs};

    if (seq->exact)
        part.words = seq->tail;
    else
        add_need(ps, &part.needs, &seq->tail);
    return part;
}

static struct part literal(struct parser *ps, char c)
{
    struct part part = nothing;
    char *text = arena_alloc(ps->arena, 1);

    *text = ascii_lower(c);
    part.words.word[0] = span_of(text, 1);
    return part;
}

/* "\" and the next character. */
static struct part parse_escape(struct parser *ps)
{
    bool pcre = ps->syntax == PATTERN_PCRE;
    const char *boundaries = pcre ? "bBAzZGK" : "bB<>`'";
    const char *classes = pcre ? "dDwWsShHvVRN" : "wWsS";
    char c = *ps->at;

    if (c == '\0')
        return give_up(ps);
    ps->at++;
    if (strchr(boundaries, c))
        return nothing;
    if (strchr(classes, c) && !(c == 'N' && *ps->at == '{'))
        return anything;
    if (pcre && strchr("tnrfea", c)) {
        static const char meaning[] = {'t', '\t', 'n', '\n', 'r', '\r',
                                       'f', '\f', 'e', 0x1b, 'a', '\a'};
        size_t i = 0;
        while (meaning[i] != c)
            i += 2;
        return literal(ps, meaning[i + 1]);
    }
    return ascii_alnum(c) || (unsigned char)c >= 0x80 ? give_up(ps) : literal(ps, c);
}

/* "[:alpha:]" and the like, behind the outer "[". False: not understood. */
static bool skip_class_name(struct parser *ps)
{
    const char *at = ps->at + 2;

    if (ps->at[1] != ':')
        return false;
    at += *at == '^';
    while (ascii_alnum(*at))
        at++;
    if (at[0] != ':' || at[1] != ']')
        return false;
    ps->at = at + 2;
    return true;
}

/* One member of a bracket expression. chars collects single characters; *simple_out
 * turns false at anything else. False: not understood. */
static bool parse_member(struct parser *ps, struct word_list *chars, bool *simple_out)
{
    char c = *ps->at;

    if (c == '\0')
        return false;
    if (c == '[' && strchr(":.=", ps->at[1]) && ps->at[1]) {
        *simple_out = false;
        return skip_class_name(ps);
    }
    if (c == '\\' && ps->syntax == PATTERN_PCRE) {
        c = *++ps->at;
        if (c == '\0' || (ascii_alnum(c) && !strchr("dDwWsShHvVntrfeab", c)))
            return false;
        *simple_out &= !ascii_alnum(c);
    }
    ps->at++;
    if (c == '-' || (unsigned char)c >= 0x80 ||
        (*simple_out && !add_word(chars, literal(ps, c).words.word[0])))
        *simple_out = false;
    return true;
}

/* Behind the "[". */
static struct part parse_bracket(struct parser *ps)
{
    struct part part = {.exact = true};
    bool simple = *ps->at != '^';

    ps->at += *ps->at == '^';
    do {
        if (!parse_member(ps, &part.words, &simple))
            return give_up(ps);
    } while (*ps->at != ']');
    ps->at++;
    return simple ? part : anything;
}

/* What follows "(?"; false: not understood. *assertion_out: matches no text. */
static bool parse_group_kind(struct parser *ps, bool *assertion_out)
{
    static const char *const assertions[] = {"=", "!", "<=", "<!"};

    for (size_t i = 0; i < ARRAY_LEN(assertions); i++) {
        size_t len = strlen(assertions[i]);
        if (strncmp(ps->at, assertions[i], len) == 0) {
            ps->at += len;
            *assertion_out = true;
            return true;
        }
    }
    while (*ps->at && strchr("imsU-", *ps->at))
        ps->at++;
    if (*ps->at == '>' && ps->at[-1] == '?')
        ps->at++;
    else if (*ps->at == ':')
        ps->at++;
    else
        return *ps->at == ')'; /* "(?i)" sets options for what follows */
    return true;
}

/* Behind the "(". */
static struct part parse_group(struct parser *ps)
{
    bool assertion = false;
    struct part part;

    if (*ps->at == '*' || ps->depth == DEPTH_MAX)
        return give_up(ps);
    if (*ps->at == '?') {
        ps->at++;
        if (ps->syntax != PATTERN_PCRE || !parse_group_kind(ps, &assertion))
            return give_up(ps);
    }
    ps->depth++;
    parse_alternatives(ps, &part);
    ps->depth--;
    if (*ps->at != ')')
        return give_up(ps);
    ps->at++;
    return assertion ? nothing : part;
}

/* "{2}", "{2,}", "{2,5}" behind the "{". False: anything else. */
static bool parse_braces(struct parser *ps, unsigned *min, unsigned *max)
{
    const char *close = strchr(ps->at, '}');
    uint32_t low, high;

    if (!close)
        return false;
    struct span rest = span_of(ps->at, (size_t)(close - ps->at));
    bool open_end = rest.len > 0 && close[-1] == ',';
    bool single = span_chr(rest, ',') < 0;
    struct span first = span_cut(&rest, ',');
    if (!span_u32(first, &low) || low > 65535)
        return false;
    high = single ? low : UINT32_MAX;
    if (!single && !open_end && (!span_u32(rest, &high) || high > 65535 || high < low))
        return false;
    *min = low;
    *max = high;
    ps->at = close + 1;
    return true;
}

/* At "*", "+", "?" or "{"? */
static bool parse_quantifier(struct parser *ps, unsigned *min, unsigned *max)
{
    char c = *ps->at;

    if (c != '*' && c != '+' && c != '?' && c != '{')
        return false;
    ps->at++;
    *min = c == '+';
    *max = c == '?' ? 1 : UINT32_MAX;
    if (c == '{' && !parse_braces(ps, min, max))
        give_up(ps);
    return true;
}

/* A part and the quantifiers behind it. */
static void parse_repeated(struct parser *ps, struct sequence *seq, struct part *part,
                           bool repeatable)
{
    unsigned min = 1, max = 1, more_min, more_max;

    if (!parse_quantifier(ps, &min, &max)) {
        append_part(ps, seq, part);
        return;
    }
    if (!repeatable)
        give_up(ps);
    if (ps->syntax == PATTERN_PCRE) {
        ps->at += *ps->at == '?' || *ps->at == '+'; /* lazy, possessive */
        if (*ps->at && strchr("*+?{", *ps->at))
            give_up(ps);
    } else {
        while (!ps->lost && parse_quantifier(ps, &more_min, &more_max)) {
            min = min && more_min;
            max = UINT32_MAX;
        }
    }
    append_repeated(ps, seq, part, min, max);
}

static void parse_item(struct parser *ps, struct sequence *seq)
{
    bool repeatable = true;
    struct part part;
    char c = *ps->at++;

    if (c == '\\') {
        part = parse_escape(ps);
        repeatable = !part.exact || part.words.word[0].len > 0;
    } else if (c == '[') {
        part = parse_bracket(ps);
    } else if (c == '(') {
        part = parse_group(ps);
    } else if (c == '.' || (unsigned char)c >= 0x80) {
        part = anything;
    } else if (c == '^' || c == '$') {
        part = nothing;
        repeatable = false;
    } else {
        part = strchr("*+?{", c) ? give_up(ps) : literal(ps, c);
    }
    if (!ps->lost)
        parse_repeated(ps, seq, &part, repeatable);
}

static struct part parse_sequence(struct parser *ps)
{
    struct sequence seq;

    begin_sequence(&seq);
    while (!ps->lost && *ps->at && *ps->at != '|' && *ps->at != ')')
        parse_item(ps, &seq);
    return end_sequence(ps, &seq);
}

/* The list that says most: the one whose shortest word is the longest. */
static const struct word_list *best_list(const struct word_lists *needs)
{
    const struct word_list *best = NULL;
    size_t best_len = 0;

    for (; needs; needs = needs->next) {
        size_t len = SIZE_MAX;
        for (size_t i = 0; i < needs->list->count; i++)
            if (needs->list->word[i].len < len)
                len = needs->list->word[i].len;
        if (len > best_len) {
            best = needs->list;
            best_len = len;
        }
    }
    return best;
}

/* What one of two parts matches. */
static void either(struct parser *ps, struct part *left, struct part *right)
{
    struct word_list both = left->words;
    bool fits = true;

    if (left->exact && right->exact) {
        for (size_t i = 0; i < right->words.count; i++)
            fits &= add_word(&both, right->words.word[i]);
        if (fits) {
            left->words = both;
            return;
        }
    }
    if (left->exact)
        add_need(ps, &left->needs, &left->words);
    if (right->exact)
        add_need(ps, &right->needs, &right->words);
    const struct word_list *of_left = best_list(left->needs);
    const struct word_list *of_right = best_list(right->needs);
    *left = anything;
    if (!of_left || !of_right)
        return;
    both = *of_left;
    for (size_t i = 0; i < of_right->count; i++)
        fits &= add_word(&both, of_right->word[i]);
    if (both.count <= WORDS_MAX && fits)
        add_need(ps, &left->needs, &both);
}

static void parse_alternatives(struct parser *ps, struct part *out)
{
    *out = parse_sequence(ps);
    while (!ps->lost && *ps->at == '|') {
        ps->at++;
        struct part right = parse_sequence(ps);
        either(ps, out, &right);
    }
}

struct word_lists *pattern_literals(struct arena *arena, enum pattern_syntax syntax,
                                    const char *text)
{
    struct parser ps = {.arena = arena, .syntax = syntax, .at = text};
    struct part all;

    parse_alternatives(&ps, &all);
    if (ps.lost || *ps.at)
        return NULL;
    if (all.exact)
        add_need(&ps, &all.needs, &all.words);
    return all.needs;
}
