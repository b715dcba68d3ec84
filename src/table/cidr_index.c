#include "table/cidr_index.h"

#include <stdlib.h>

#define PILE_SHIFT 48
#define PILES      65536 /* the first two bytes of addresses */
#define DEAL_FROM  4096  /* fewer networks are simply sorted */

/* Networks nest or are apart, so they cut the addresses into ranges in which the
 * answer is the same; the ranges are found by their start. */
struct cidr_index {
    size_t count;
    uint64_t *hi;
    uint64_t *lo; /* NULL: all zero */
    uint32_t *number;
};

struct open_net {
    struct cidr_key last;
    uint32_t number; /* the lowest of this network and those around it */
};

struct sweep {
    struct cidr_index *index;
    struct open_net open[129]; /* nested, so at most one for each prefix length */
    size_t depth;
};

static int key_cmp(struct cidr_key a, struct cidr_key b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

static int net_cmp(const void *left, const void *right)
{
    const struct cidr_net *a = left, *b = right;
    int order = key_cmp(a->start, b->start);

    if (order != 0)
        return order;
    if (a->prefix_len != b->prefix_len)
        return a->prefix_len < b->prefix_len ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static struct cidr_key last_of(const struct cidr_net *net)
{
    unsigned len = net->prefix_len;

    return (struct cidr_key){
        net->start.hi | (len >= 64 ? 0 : UINT64_MAX >> len),
        net->start.lo | (len <= 64    ? UINT64_MAX
                         : len >= 128 ? 0
                                      : UINT64_MAX >> (len - 64)),
    };
}

static void add_range(struct sweep *sweep, struct cidr_key start)
{
    struct cidr_index *index = sweep->index;
    uint32_t number =
        sweep->depth > 0 ? sweep->open[sweep->depth - 1].number : CIDR_INDEX_NONE;
    size_t at = index->count;

    if (at > 0 && index->hi[at - 1] == start.hi &&
        (!index->lo || index->lo[at - 1] == start.lo))
        at--;
    uint32_t before = at > 0 ? index->number[at - 1] : CIDR_INDEX_NONE;
    index->count = at;
    if (before == number)
        return;
    index->hi[at] = start.hi;
    if (index->lo)
        index->lo[at] = start.lo;
    index->number[at] = number;
    index->count = at + 1;
}

/* Leave the networks that end before key, or all. */
static void close_until(struct sweep *sweep, const struct cidr_key *key)
{
    while (sweep->depth > 0) {
        struct cidr_key next = sweep->open[sweep->depth - 1].last;
        if (key && key_cmp(next, *key) >= 0)
            break;
        sweep->depth--;
        if (++next.lo == 0)
            next.hi++;
        if (next.hi != 0 || next.lo != 0) /* not past the end of all addresses */
            add_range(sweep, next);
    }
}

static void open_net(struct sweep *sweep, const struct cidr_net *net)
{
    struct open_net *open = &sweep->open[sweep->depth];
    uint32_t around = sweep->depth > 0 ? open[-1].number : CIDR_INDEX_NONE;

    open->last = last_of(net);
    open->number = net->number < around ? net->number : around;
    sweep->depth++;
    add_range(sweep, net->start);
}

static bool same_net(const struct cidr_net *a, const struct cidr_net *b)
{
    return key_cmp(a->start, b->start) == 0 && a->prefix_len == b->prefix_len;
}

static bool needs_lo(const struct cidr_net *nets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (nets[i].prefix_len > 64)
            return true;
    return false;
}

static void allocate(struct cidr_index *index, size_t room, bool with_lo)
{
    index->hi = xrealloc(index->hi, room * sizeof(*index->hi));
    index->number = xrealloc(index->number, room * sizeof(*index->number));
    if (with_lo)
        index->lo = xrealloc(index->lo, room * sizeof(*index->lo));
}

/* Sort many networks: much faster when they are first dealt out by their first bytes.
 */
static void deal_and_sort(struct cidr_net *nets, size_t count)
{
    struct cidr_net *dealt = xcalloc(count, sizeof(*dealt));
    uint32_t *end = xcalloc(PILES + 1, sizeof(*end));

    for (size_t i = 0; i < count; i++)
        end[(nets[i].start.hi >> PILE_SHIFT) + 1]++;
    for (size_t i = 0; i < PILES; i++)
        end[i + 1] += end[i];
    for (size_t i = 0; i < count; i++)
        dealt[end[nets[i].start.hi >> PILE_SHIFT]++] = nets[i];
    for (size_t i = 0, begin = 0; i < PILES; begin = end[i++])
        if (end[i] - begin > 1)
            qsort(dealt + begin, end[i] - begin, sizeof(*dealt), net_cmp);
    memcpy(nets, dealt, count * sizeof(*nets));
    free(dealt);
    free(end);
}

static bool is_sorted(const struct cidr_net *nets, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (net_cmp(&nets[i - 1], &nets[i]) > 0)
            return false;
    return true;
}

/* Published lists are often in order. */
static void sort_nets(struct cidr_net *nets, size_t count)
{
    if (is_sorted(nets, count))
        return;
    if (count >= DEAL_FROM)
        deal_and_sort(nets, count);
    else
        qsort(nets, count, sizeof(*nets), net_cmp);
}

struct cidr_index *cidr_index_new(struct cidr_net *nets, size_t count)
{
    if (count == 0)
        return NULL;
    struct cidr_index *index = xcalloc(1, sizeof(*index));
    struct sweep sweep = {.index = index};
    bool with_lo = needs_lo(nets, count);
    /* A prefix of at most 64 bits ends where lo is all ones; what follows it starts at
     * zero, so lo is not missed. */
    allocate(index, 2 * count, with_lo);
    sort_nets(nets, count);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && same_net(&nets[i - 1], &nets[i]))
            continue; /* the first is the lowest */
        close_until(&sweep, &nets[i].start);
        open_net(&sweep, &nets[i]);
    }
    close_until(&sweep, NULL);
    allocate(index, index->count, with_lo);
    return index;
}

void cidr_index_free(struct cidr_index *index)
{
    if (!index)
        return;
    free(index->hi);
    free(index->lo);
    free(index->number);
    free(index);
}

uint32_t cidr_index_find(const struct cidr_index *index, struct cidr_key key)
{
    size_t low = 0, high = index ? index->count : 0; /* the range is in [low-1, high) */

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t hi = index->hi[middle];
        bool begins = hi < key.hi ||
                      (hi == key.hi && (!index->lo || index->lo[middle] <= key.lo));
        if (begins)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? index->number[low - 1] : CIDR_INDEX_NONE;
}
