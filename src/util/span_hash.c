/* Keys come from the network, so the hash is a keyed one (SipHash-1-3): nobody
 * outside can choose keys that collide. */
#include <errno.h>
#include <sys/random.h>

#include "util/span.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static struct hash_seed {
    uint64_t k0, k1;
    bool ready;
} seed;

static void seed_init(void)
{
    uint64_t key[2];

    while (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        if (errno != EINTR)
            panic("span_hash: getrandom: %s", strerror(errno));
    seed = (struct hash_seed){key[0], key[1], true};
}

static inline uint64_t rotl(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t sip_finish(struct sip *s)
{
    s->v2 ^= 0xff;
    sip_round(s);
    sip_round(s);
    sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* ascii_lower() of eight bytes at once: the high bit of each byte of "upper"
 * says that the byte is within A..Z. */
static inline uint64_t lower8(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x80u * ones;
    uint64_t low7 = word & ~high;
    uint64_t from_a = low7 + (0x80 - 'A') * ones;
    uint64_t past_z = low7 + (0x80 - 'Z' - 1) * ones;
    uint64_t upper = from_a & ~past_z & ~word & high;

    return word | upper >> 2;
}

static inline uint64_t hash_bytes(struct span s, bool fold)
{
    struct sip sip;
    uint64_t word;
    size_t at = 0;

    if (!seed.ready)
        seed_init();
    sip = (struct sip){
        seed.k0 ^ 0x736f6d6570736575u,
        seed.k1 ^ 0x646f72616e646f6du,
        seed.k0 ^ 0x6c7967656e657261u,
        seed.k1 ^ 0x7465646279746573u,
    };
    for (; s.len - at >= 8; at += 8) {
        memcpy(&word, s.ptr + at, 8);
        sip_word(&sip, fold ? lower8(word) : word);
    }
    word = 0;
    if (at < s.len)
        memcpy(&word, s.ptr + at, s.len - at);
    sip_word(&sip, (fold ? lower8(word) : word) ^ (uint64_t)s.len << 56);
    return sip_finish(&sip);
}

uint64_t span_hash(struct span s)
{
    return hash_bytes(s, false);
}

uint64_t span_ihash(struct span s)
{
    return hash_bytes(s, true);
}
