// What files say about sockets and networks: /proc/net/unix, /proc/sys/net, /sys/class/net/lo.
#include "conf.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

// The line of /proc/net/unix for a socket, without what may differ.
static void row(const char *what, int fd)
{
    struct stat st;
    CHECK(fstat(fd, &st) == 0);
    FILE *file = fopen("/proc/net/unix", "r");
    CHECK(file);
    char line[512];
    CHECK(file && fgets(line, sizeof line, file) && !strcmp(line, "Num       RefCount Protocol Flags    Type St Inode Path\n"));
    int found = 0;
    while (file && fgets(line, sizeof line, file)) {
        unsigned references, protocol, flags, type, state;
        unsigned long inode;
        int end = 0;
        CHECK(sscanf(line, "%*16[0-9a-f]: %8X %8X %8X %4X %2X %lu%n", &references, &protocol, &flags, &type, &state, &inode, &end) == 6);
        if (inode != st.st_ino)
            continue;
        found = 1;
        CHECK(references >= 2);
        printf("%s: %08X %08X %04X %02X%s", what, protocol, flags, type, state, line + end);
    }
    if (file)
        fclose(file);
    if (!found)
        printf("%s: no line\n", what);
}

static int bound(int type, const char *name, size_t length)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type, 0);
    memcpy(a.sun_path, name, length);
    CHECK(bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0);
    return fd;
}

static void unix_rows(void)
{
    int plain = socket(AF_UNIX, SOCK_STREAM, 0), named = bound(SOCK_STREAM, "here", 5), hidden = bound(SOCK_DGRAM, "\0a\0b", 4), pair[2];
    row("fresh", plain);
    row("with a path", named);
    row("with an abstract name", hidden);
    CHECK(listen(named, 5) == 0);
    row("listening", named);
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "here"};
    CHECK(connect(plain, (struct sockaddr *)&a, sizeof a) == 0);
    row("connected", plain);
    int accepted = accept(named, NULL, NULL);
    row("accepted", accepted);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    row("one of a pair", pair[0]);
    close(plain);
    close(accepted);
    close(named);
    close(hidden);
    struct stat st;
    CHECK(fstat(pair[1], &st) == 0);
    close(pair[0]);
    row("the other, alone", pair[1]);
    close(pair[1]);
    unlink("here");
}

static void readable(const char *folder, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[256], text[256];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        int fd = open(path, O_RDONLY);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        text[n > 0 ? n : 0] = 0;
        long number = 0;
        printf("%s: %s\n", names[i], n <= 0 ? "not there" : text[n - 1] != '\n' ? "no line" : sscanf(text, "%ld", &number) == 1 ? "a number" : "text");
        close(fd);
    }
}

static void settings(void)
{
    static const char *const net[] = {
        "core/somaxconn", "core/rmem_max", "core/wmem_max", "core/rmem_default", "core/wmem_default", "core/netdev_max_backlog", "core/optmem_max",
        "ipv4/ip_local_port_range", "ipv4/ip_local_reserved_ports", "ipv4/ip_unprivileged_port_start", "ipv4/ip_forward", "ipv4/ip_default_ttl",
        "ipv4/ip_nonlocal_bind", "ipv4/tcp_rmem", "ipv4/tcp_wmem", "ipv4/tcp_mem", "ipv4/tcp_fin_timeout", "ipv4/tcp_max_syn_backlog", "ipv4/tcp_syncookies",
        "ipv4/tcp_tw_reuse", "ipv4/tcp_keepalive_time", "ipv4/tcp_keepalive_intvl", "ipv4/tcp_keepalive_probes", "ipv4/tcp_congestion_control",
        "ipv4/tcp_available_congestion_control", "ipv4/tcp_allowed_congestion_control", "ipv4/tcp_timestamps", "ipv4/tcp_window_scaling", "ipv4/tcp_sack",
        "ipv4/tcp_fastopen", "ipv4/tcp_retries1", "ipv4/tcp_retries2", "ipv4/tcp_syn_retries", "ipv4/tcp_synack_retries", "ipv4/tcp_max_orphans",
        "ipv4/tcp_max_tw_buckets", "ipv4/tcp_slow_start_after_idle", "ipv4/tcp_moderate_rcvbuf", "ipv4/tcp_notsent_lowat", "ipv4/tcp_abort_on_overflow",
        "ipv4/tcp_ecn", "ipv4/udp_mem", "ipv4/udp_rmem_min", "ipv4/udp_wmem_min", "ipv4/ping_group_range", "ipv6/bindv6only", "ipv6/conf/all/disable_ipv6",
        "ipv6/conf/lo/disable_ipv6", "unix/max_dgram_qlen"};
    readable("/proc/sys/net", net, sizeof net / sizeof *net);
    static const char *const lo[] = {
        "mtu", "address", "broadcast", "ifindex", "iflink", "operstate", "type", "flags", "carrier", "carrier_changes", "addr_len", "addr_assign_type", "dev_id",
        "dev_port", "dormant", "link_mode", "name_assign_type", "netdev_group", "tx_queue_len", "uevent", "statistics/rx_bytes", "statistics/tx_bytes",
        "statistics/rx_packets", "statistics/tx_packets", "statistics/rx_errors", "statistics/tx_errors", "statistics/rx_dropped", "statistics/tx_dropped",
        "statistics/multicast", "statistics/collisions"};
    readable("/sys/class/net/lo", lo, sizeof lo / sizeof *lo);
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    unix_rows();
    settings();
    return conf_end();
}
