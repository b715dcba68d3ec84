#include "table/lmdb_page.h"
#include "table/lmdb_view.h"

#define STEPS_A_PAGE 8

/* A writer may reuse a page while it is being read, which is found out afterwards:
 * until then each number in it is read once, checked, and used from here. */
static inline size_t once(const uint16_t *at)
{
    return *(const volatile uint16_t *)at;
}

/* A branch or a leaf. */
struct tree_page {
    const struct lmdb_page *at;
    size_t count, upper; /* nodes; where they begin */
};

struct node {
    const struct lmdb_node *head;
    const char *key, *data; /* data: behind the key */
    size_t room;            /* from data to the end of the page */
    size_t key_len;
};

static struct span node_key(const struct node *node)
{
    return span_of(node->key, node->key_len);
}

static size_t node_data_size(const struct node *node)
{
    return once(&node->head->low) | once(&node->head->high) << 16;
}

static size_t node_child(const struct node *node)
{
    size_t number = node_data_size(node);

    return sizeof(size_t) > 4 ? number | once(&node->head->flags) << 16 << 16 : number;
}

/* NULL: the file has no such page, or it is something else. */
static const struct lmdb_page *get_page(const struct lmdb_view *view, size_t number,
                                        unsigned flags)
{
    if (number < 2 || number > view->last_page)
        return NULL;
    const struct lmdb_page *page =
        (const struct lmdb_page *)(const void *)(view->map + number * view->page_size);
    return page->number == number && page->flags == flags ? page : NULL;
}

/* With at least one node, and room for what it says it has. */
static bool get_tree_page(const struct lmdb_view *view, size_t number, bool is_leaf,
                          struct tree_page *page)
{
    page->at = get_page(view, number, is_leaf ? LMDB_LEAF : LMDB_BRANCH);
    if (!page->at)
        return false;
    size_t lower = once(&page->at->lower), head = sizeof(*page->at);
    page->upper = once(&page->at->upper);
    if (lower < head + sizeof(uint16_t) || lower % 2 || lower > page->upper ||
        page->upper > view->page_size)
        return false;
    page->count = (lower - head) / sizeof(uint16_t);
    return true;
}

/* index: below the count of the page. */
static inline bool get_node(const struct lmdb_view *view, const struct tree_page *page,
                            size_t index, struct node *node)
{
    const uint16_t *offsets = (const uint16_t *)(page->at + 1);
    size_t offset = once(&offsets[index]), room;

    if (offset < page->upper || offset % 2 ||
        offset + sizeof(*node->head) > view->page_size)
        return false;
    node->head =
        (const struct lmdb_node *)(const void *)((const char *)page->at + offset);
    node->key = (const char *)(node->head + 1);
    room = view->page_size - offset - sizeof(*node->head);
    node->key_len = once(&node->head->key_size);
    if (node->key_len > room)
        return false;
    node->data = node->key + node->key_len;
    node->room = room - node->key_len;
    return true;
}

static uint64_t load_be64(const char *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof(v));
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(v) : v;
}

/* Most keys differ in their first bytes: without a call then. */
static inline int compare(struct span a, struct span b)
{
    size_t len = a.len < b.len ? a.len : b.len;

    if (len >= sizeof(uint64_t)) {
        uint64_t x = load_be64(a.ptr), y = load_be64(b.ptr);
        if (x != y)
            return x < y ? -1 : 1;
    }
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* The first node with a key that is not before key: of a leaf 0 .. count; of a branch,
 * whose first key is below all others, the child that may hold key. */
static bool search(const struct lmdb_view *view, const struct tree_page *page,
                   bool is_leaf, struct span key, size_t *index_out, bool *exact_out)
{
    size_t low = is_leaf ? 0 : 1, high = page->count;
    struct node node;

    *exact_out = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (!get_node(view, page, middle, &node))
            return false;
        int order = compare(key, node_key(&node));
        if (order == 0) {
            *exact_out = true;
            low = middle;
            break;
        }
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    *index_out = is_leaf || *exact_out ? low : low - 1;
    return true;
}

/* The number of pages of a large value is that of the value, or more where it has been
 * replaced by a smaller one. */
static bool big_value(const struct lmdb_view *view, size_t overflow,
                      const struct node *node, struct span *value_out)
{
    size_t number, size = node_data_size(node);
    const struct lmdb_page *page;
    uint32_t pages;

    if (node->room < sizeof(number))
        return false;
    memcpy(&number, node->data, sizeof(number));
    page = get_page(view, number, LMDB_OVERFLOW);
    if (!page)
        return false;
    memcpy(&pages, &page->lower, sizeof(pages));
    if (pages < 1 || pages > overflow || pages - 1 > view->last_page - number ||
        size > (size_t)pages * view->page_size - sizeof(*page))
        return false;
    *value_out = span_of((const char *)(page + 1), size);
    return true;
}

static bool node_value(const struct lmdb_view *view, const struct lmdb_tree *tree,
                       const struct node *node, struct span *value_out)
{
    size_t flags = once(&node->head->flags), size = node_data_size(node);

    if (flags == LMDB_BIG)
        return big_value(view, tree->overflow, node, value_out);
    if (flags != 0 || size > node->room)
        return false;
    *value_out = span_of(node->data, size);
    return true;
}

enum view_status lmdb_view_find(const struct lmdb_view *view, struct span key,
                                struct span *value_out)
{
    size_t number = view->data.root, index;
    struct tree_page page;
    struct node node;
    bool exact;

    if (number == SIZE_MAX)
        return VIEW_NONE;
    for (unsigned level = 1; level <= view->data.depth; level++) {
        bool is_leaf = level == view->data.depth;
        if (!get_tree_page(view, number, is_leaf, &page) ||
            !search(view, &page, is_leaf, key, &index, &exact))
            return VIEW_DAMAGED;
        if (is_leaf && !exact)
            return VIEW_NONE;
        if (!get_node(view, &page, index, &node))
            return VIEW_DAMAGED;
        if (is_leaf)
            return node_value(view, &view->data, &node, value_out) ? VIEW_OK
                                                                   : VIEW_DAMAGED;
        number = node_child(&node);
    }
    return VIEW_DAMAGED; /* no levels */
}

/* -- walking -- */

/* The way from the root to a node of a leaf. */
struct path {
    const struct lmdb_view *view;
    const struct lmdb_tree *tree;
    struct tree_page pages[LMDB_DEPTH_MAX];
    size_t index[LMDB_DEPTH_MAX];
};

/* From level down to the leaf, to key or (key.ptr NULL) to the first. */
static bool descend(struct path *path, unsigned level, size_t number, struct span key)
{
    struct node node;
    bool exact;

    for (;; level++) {
        bool is_leaf = level + 1 == path->tree->depth;
        struct tree_page *page = &path->pages[level];
        if (!get_tree_page(path->view, number, is_leaf, page))
            return false;
        path->index[level] = 0;
        if (key.ptr &&
            !search(path->view, page, is_leaf, key, &path->index[level], &exact))
            return false;
        if (is_leaf)
            return true;
        if (!get_node(path->view, page, path->index[level], &node))
            return false;
        number = node_child(&node);
    }
}

static enum view_status start(struct path *path, const struct lmdb_view *view,
                              const struct lmdb_tree *tree, struct span key)
{
    path->view = view;
    path->tree = tree;
    if (tree->root == SIZE_MAX)
        return VIEW_NONE;
    return tree->depth > 0 && descend(path, 0, tree->root, key) ? VIEW_OK
                                                                : VIEW_DAMAGED;
}

/* To the first node of the next leaf. */
static enum view_status next_leaf(struct path *path)
{
    unsigned level = path->tree->depth - 1;
    struct node node;

    while (level > 0) {
        level--;
        if (++path->index[level] >= path->pages[level].count)
            continue;
        if (!get_node(path->view, &path->pages[level], path->index[level], &node) ||
            !descend(path, level + 1, node_child(&node), SPAN_EMPTY))
            return VIEW_DAMAGED;
        return VIEW_OK;
    }
    return VIEW_NONE;
}

/* The node at path, or the first one of the next leaf when this one has no more. */
static enum view_status settle(struct path *path, struct node *node)
{
    unsigned leaf = path->tree->depth - 1;

    if (path->index[leaf] >= path->pages[leaf].count) {
        enum view_status status = next_leaf(path);
        if (status != VIEW_OK)
            return status;
    }
    return get_node(path->view, &path->pages[leaf], path->index[leaf], node)
               ? VIEW_OK
               : VIEW_DAMAGED;
}

enum view_status lmdb_view_next(const struct lmdb_view *view, struct span after,
                                struct span *key_out, struct span *value_out)
{
    struct path path;
    struct node node;
    enum view_status status = start(&path, view, &view->data, after);

    if (status == VIEW_OK)
        status = settle(&path, &node);
    if (status == VIEW_OK && after.ptr && compare(node_key(&node), after) == 0) {
        path.index[view->data.depth - 1]++;
        status = settle(&path, &node);
    }
    if (status != VIEW_OK)
        return status;
    *key_out = node_key(&node);
    /* Keys that do not ascend would lead in a circle. */
    if ((after.ptr && compare(*key_out, after) <= 0) ||
        !node_value(view, &view->data, &node, value_out))
        return VIEW_DAMAGED;
    return VIEW_OK;
}

/* -- checks before changes -- */

static bool page_is_sound(const struct lmdb_view *view, size_t number, bool is_leaf)
{
    struct span value, before = SPAN_EMPTY;
    struct tree_page page;
    struct node node;

    if (!get_tree_page(view, number, is_leaf, &page))
        return false;
    for (size_t i = 0; i < page.count; i++) {
        if (!get_node(view, &page, i, &node))
            return false;
        if (is_leaf ? !node_value(view, &view->data, &node, &value)
                    : node_child(&node) < 2 || node_child(&node) > view->last_page)
            return false;
        if (i > (is_leaf ? 0 : 1) && compare(before, node_key(&node)) >= 0)
            return false;
        before = node_key(&node);
    }
    return true;
}

static bool child_is_sound(const struct path *path, unsigned level, size_t index)
{
    struct node node;

    return index >= path->pages[level].count || /* -1 as well */
           (get_node(path->view, &path->pages[level], index, &node) &&
            page_is_sound(path->view, node_child(&node),
                          level + 2 == path->tree->depth));
}

enum view_status lmdb_view_check_path(const struct lmdb_view *view, struct span key,
                                      bool neighbours)
{
    struct path path;
    enum view_status status = start(&path, view, &view->data, key);

    if (status == VIEW_NONE)
        return VIEW_OK;
    if (status != VIEW_OK ||
        !page_is_sound(view, view->data.root, path.tree->depth == 1))
        return VIEW_DAMAGED;
    for (unsigned level = 0; level + 1 < path.tree->depth; level++) {
        size_t index = path.index[level];
        if (!child_is_sound(&path, level, index))
            return VIEW_DAMAGED;
        if (neighbours && (!child_is_sound(&path, level, index - 1) ||
                           !child_is_sound(&path, level, index + 1)))
            return VIEW_DAMAGED;
    }
    return VIEW_OK;
}

/* A count, then page numbers in descending order. */
static bool add_free_pages(const struct lmdb_view *view, struct span list, size_t *sum)
{
    size_t count, number, before = view->last_page + 1;

    if (list.len < sizeof(count))
        return false;
    memcpy(&count, list.ptr, sizeof(count));
    if (count > list.len / sizeof(count) - 1)
        return false;
    for (size_t i = 1; i <= count; i++) {
        memcpy(&number, list.ptr + i * sizeof(number), sizeof(number));
        if (number < 2 || number >= before)
            return false;
        before = number;
    }
    *sum += count;
    return true;
}

enum view_status lmdb_view_check_free(const struct lmdb_view *view)
{
    size_t sum = view->used, steps = 0;
    struct path path;
    struct node node;
    struct span list;
    enum view_status status = start(&path, view, &view->free_list, SPAN_EMPTY);

    while (status == VIEW_OK) {
        status = settle(&path, &node);
        if (status != VIEW_OK)
            break;
        if (node.head->key_size != sizeof(size_t) ||
            !node_value(view, path.tree, &node, &list) ||
            !add_free_pages(view, list, &sum) || sum > view->last_page + 1 ||
            ++steps > STEPS_A_PAGE * view->last_page) /* it leads in a circle */
            return VIEW_DAMAGED;
        path.index[path.tree->depth - 1]++;
    }
    return status == VIEW_NONE ? VIEW_OK : status;
}
