/* Messages between the master daemon and its services, one per packet of the
 * status channel. */
#ifndef MASTER_SERVICE_STATUS_H
#define MASTER_SERVICE_STATUS_H

#include <stdint.h>

#define SERVICE_STATUS_FD   3
#define SERVICE_LISTENER_FD 4
/* Names the descriptor of a copy of main.cf; behind the listeners. */
#define SERVICE_MAIN_CF_ENV "GP_MAIN_CF_FD"

/* Service to master, sent when one of the values changes in a way that matters
 * (idle <-> busy, free slots <-> none, retiring); at most once a loop tick. */
struct service_status {
    uint32_t generation; /* as given in the environment GP_GENERATION */
    uint32_t sessions;   /* being served */
    uint32_t free_slots; /* how many more it would take; 0: full or retiring */
    uint32_t retiring;
    uint64_t served; /* sessions since start: marks a wake-up's use and health */
};

/* Master to service: one order a packet. */
struct service_order {
    uint32_t command; /* enum service_command */
    uint32_t value;   /* SERVICE_CMD_QUOTA: the new quota; else 0 */
};

enum service_command {
    SERVICE_CMD_RETIRE = 1, /* finish what runs, then exit */
    SERVICE_CMD_STOP = 2,   /* the system stops: end at the earliest convenience */
    SERVICE_CMD_WAKEUP = 3, /* wake-up timer */
    SERVICE_CMD_FLUSH_LOG = 4,
    SERVICE_CMD_LOOK = 5,  /* a connection waits that another process left alone */
    SERVICE_CMD_QUOTA = 6, /* sessions of a retired predecessor have ended */
};

#endif
