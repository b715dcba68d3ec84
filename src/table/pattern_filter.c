#include "table/pattern_filter.h"

#include <stdlib.h>

#define GRAM            3 /* bytes by which words are found; shorter words are no use */
#define LISTS_KEPT      6 /* of a pattern, to choose from */
#define BUCKET_BITS_MAX 16

/* While building: the word lists of a pattern. */
struct candidate {
    uint32_t number;
    size_t count;
    struct word_list *list[LISTS_KEPT];
};

struct word {
    struct span text;
    uint32_t links;  /* first of the patterns that need this word */
    uint32_t next;   /* word in the same bucket */
    uint32_t offset; /* of the gram that it is found by */
};

struct link {
    uint32_t pattern, next;
};

struct pattern_filter {
    struct arena *arena;   /* text of words */
    struct arena *scratch; /* while building */
    struct candidate *candidates;
    uint32_t count, room;
    size_t size;      /* of bitmaps */
    uint64_t *always; /* patterns that no word was found for */

    unsigned bucket_bits;
    uint64_t *used;    /* bitmap of buckets */
    uint32_t *buckets; /* first word; 0: none */
    struct word *words;
    uint32_t word_count;
    struct link *links;
    uint32_t link_count;
};

static void set_bit(uint64_t *bits, uint32_t number)
{
    bits[number / 64] |= UINT64_C(1) << number % 64;
}

struct pattern_filter *pattern_filter_new(void)
{
    struct pattern_filter *filter = xcalloc(1, sizeof(*filter));

    filter->arena = arena_new();
    filter->scratch = arena_new();
    return filter;
}

static void free_scratch(struct pattern_filter *filter)
{
    arena_free(filter->scratch);
    filter->scratch = NULL;
    free(filter->candidates);
    filter->candidates = NULL;
}

void pattern_filter_free(struct pattern_filter *filter)
{
    if (!filter)
        return;
    free_scratch(filter);
    arena_free(filter->arena);
    free(filter->always);
    free(filter->used);
    free(filter->buckets);
    free(filter->words);
    free(filter->links);
    free(filter);
}

static bool is_useful(const struct word_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->word[i].len < GRAM)
            return false;
    return true;
}

static struct word_list *copy_list(struct arena *arena, const struct word_list *list)
{
    size_t size =
        offsetof(struct word_list, word) + list->count * sizeof(list->word[0]);
    struct word_list *copy = arena_alloc(arena, size);

    copy->count = list->count;
    for (size_t i = 0; i < list->count; i++)
        copy->word[i] = arena_span(arena, list->word[i]);
    return copy;
}

void pattern_filter_add(struct pattern_filter *filter, uint32_t number,
                        const struct word_lists *needs)
{
    if (filter->count == filter->room) {
        filter->room += filter->room / 2 + 8;
        filter->candidates =
            xrealloc(filter->candidates, filter->room * sizeof(*filter->candidates));
    }
    struct candidate *candidate = &filter->candidates[filter->count++];
    candidate->number = number;
    candidate->count = 0;
    for (; needs && candidate->count < LISTS_KEPT; needs = needs->next)
        if (is_useful(needs->list))
            candidate->list[candidate->count++] =
                copy_list(filter->scratch, needs->list);
}

/* How many patterns know each word, near enough: words with the same hash are counted
 * together. */
struct tally {
    uint32_t *counts;
    size_t size;
};

static uint32_t *tally_of(const struct tally *tally, struct span word)
{
    return &tally->counts[span_hash(word) % tally->size];
}

static void count_words(const struct pattern_filter *filter, struct tally *tally)
{
    tally->size = 8 * (size_t)filter->count + 64;
    tally->counts = xcalloc(tally->size, sizeof(*tally->counts));
    for (uint32_t i = 0; i < filter->count; i++)
        for (size_t k = 0; k < filter->candidates[i].count; k++)
            for (size_t n = 0; n < filter->candidates[i].list[k]->count; n++)
                ++*tally_of(tally, filter->candidates[i].list[k]->word[n]);
}

/* The list that is met least often in texts: short words are, and so is what stands in
 * many patterns, for texts are like the patterns made for them. */
static const struct word_list *rarest_list(const struct candidate *candidate,
                                           const struct tally *tally)
{
    static const uint32_t penalty[] = {64, 16, 4}; /* of 3, 4 and 5 bytes */
    const struct word_list *best = NULL;
    uint64_t best_score = UINT64_MAX;

    for (size_t i = 0; i < candidate->count; i++) {
        const struct word_list *list = candidate->list[i];
        uint64_t score = 0;
        for (size_t k = 0; k < list->count; k++) {
            size_t beyond = list->word[k].len - GRAM;
            score += *tally_of(tally, list->word[k]);
            score += beyond < ARRAY_LEN(penalty) ? penalty[beyond] : 1;
        }
        if (score < best_score) {
            best_score = score;
            best = list;
        }
    }
    return best;
}

static uint32_t gram_bucket(const char *text, unsigned bits)
{
    uint32_t gram = (uint32_t)(unsigned char)text[0] |
                    (uint32_t)(unsigned char)text[1] << 8 |
                    (uint32_t)(unsigned char)text[2] << 16;

    return gram * UINT32_C(0x9E3779B1) >> (32 - bits);
}

/* load: words in each bucket, while building. */
static uint32_t find_or_add_word(struct pattern_filter *filter, struct span text,
                                 uint32_t *load)
{
    uint32_t best_offset = 0, best_load = UINT32_MAX;

    for (uint32_t at = 0; at + GRAM <= text.len; at++) {
        uint32_t bucket = gram_bucket(text.ptr + at, filter->bucket_bits);
        for (uint32_t i = filter->buckets[bucket]; i; i = filter->words[i].next)
            if (span_eq(filter->words[i].text, text))
                return i;
        if (load[bucket] < best_load) {
            best_load = load[bucket];
            best_offset = at;
        }
    }
    uint32_t bucket = gram_bucket(text.ptr + best_offset, filter->bucket_bits);
    uint32_t number = filter->word_count++;
    filter->words[number] = (struct word){.text = arena_span(filter->arena, text),
                                          .next = filter->buckets[bucket],
                                          .offset = best_offset};
    filter->buckets[bucket] = number;
    load[bucket]++;
    set_bit(filter->used, bucket);
    return number;
}

static void add_list(struct pattern_filter *filter, const struct word_list *list,
                     uint32_t pattern, uint32_t *load)
{
    for (size_t i = 0; i < list->count; i++) {
        struct word *word =
            &filter->words[find_or_add_word(filter, list->word[i], load)];
        filter->links[filter->link_count] = (struct link){pattern, word->links};
        word->links = filter->link_count++;
    }
}

/* Room for all words of all patterns; number 0 is no word, and no link. */
static void allocate(struct pattern_filter *filter, size_t words)
{
    filter->bucket_bits = 8;
    while (filter->bucket_bits < BUCKET_BITS_MAX &&
           (size_t)1 << filter->bucket_bits < 4 * words)
        filter->bucket_bits++;
    size_t buckets = (size_t)1 << filter->bucket_bits;
    filter->used = xcalloc(buckets / 64, sizeof(*filter->used));
    filter->buckets = xcalloc(buckets, sizeof(*filter->buckets));
    filter->words = xcalloc(words + 1, sizeof(*filter->words));
    filter->links = xcalloc(words + 1, sizeof(*filter->links));
    filter->word_count = filter->link_count = 1;
    filter->always = xcalloc(filter->size, sizeof(*filter->always));
}

void pattern_filter_finish(struct pattern_filter *filter, uint32_t limit)
{
    struct tally tally;
    const struct word_list **chosen = xcalloc(filter->count + 1, sizeof(*chosen));
    size_t words = 0;

    count_words(filter, &tally);
    for (uint32_t i = 0; i < filter->count; i++) {
        chosen[i] = rarest_list(&filter->candidates[i], &tally);
        words += chosen[i] ? chosen[i]->count : 0;
    }
    filter->size = (size_t)limit / 64 + 1;
    allocate(filter, words);
    uint32_t *load = xcalloc((size_t)1 << filter->bucket_bits, sizeof(*load));
    for (uint32_t i = 0; i < filter->count; i++) {
        uint32_t number = filter->candidates[i].number;
        if (chosen[i])
            add_list(filter, chosen[i], number, load);
        else
            set_bit(filter->always, number);
    }
    free(load);
    free(tally.counts);
    free(chosen);
    free_scratch(filter);
}

static void mark_words(const struct pattern_filter *filter, uint32_t bucket,
                       struct span text, size_t at, uint64_t *maybe)
{
    for (uint32_t i = filter->buckets[bucket]; i; i = filter->words[i].next) {
        const struct word *word = &filter->words[i];
        if (word->offset > at || word->text.len > text.len - (at - word->offset) ||
            memcmp(text.ptr + at - word->offset, word->text.ptr, word->text.len) != 0)
            continue;
        for (uint32_t k = word->links; k; k = filter->links[k].next)
            set_bit(maybe, filter->links[k].pattern);
    }
}

void pattern_filter_run(const struct pattern_filter *filter, struct span lower,
                        uint64_t *maybe_out)
{
    memcpy(maybe_out, filter->always, filter->size * sizeof(*maybe_out));
    for (size_t at = 0; at + GRAM <= lower.len; at++) {
        uint32_t bucket = gram_bucket(lower.ptr + at, filter->bucket_bits);
        if (filter->used[bucket / 64] >> bucket % 64 & 1)
            mark_words(filter, bucket, lower, at, maybe_out);
    }
}
