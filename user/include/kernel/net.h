/* Packets as they are on the wire, and the calls that send and receive them: for the programs of the lab on
   networks.  The names are the course's; the layouts are those of RFC 768, 791, 826, 894 and 1035.

   Everything of more than a byte is in network order, most significant byte first: see htons() and its like. */

#ifndef KERNEL_NET_H
#define KERNEL_NET_H

#include "kernel/types.h"
#include "user/netcalls.h"

static inline uint16 bswaps(uint16 n) { return __builtin_bswap16(n); }
static inline uint32 bswapl(uint32 n) { return __builtin_bswap32(n); }

#define htons bswaps
#define ntohs bswaps
#define htonl bswapl
#define ntohl bswapl

/* Ethernet, in front of everything else. */
#define ETHADDR_LEN 6
#define ETHTYPE_IP 0x0800
#define ETHTYPE_ARP 0x0806

struct eth {
    uint8 dhost[ETHADDR_LEN];
    uint8 shost[ETHADDR_LEN];
    uint16 type; /* ETHTYPE_* */
} __attribute__((packed));

/* IP, version 4 */
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define MAKE_IP_ADDR(a, b, c, d) ((uint32)(a) << 24 | (uint32)(b) << 16 | (uint32)(c) << 8 | (uint32)(d))

struct ip {
    uint8 ip_vhl; /* version, and the header's length in words */
    uint8 ip_tos; /* type of service */
    uint16 ip_len; /* header and data, in bytes */
    uint16 ip_id;
    uint16 ip_off; /* flags, and where the fragment belongs */
    uint8 ip_ttl; /* hops left */
    uint8 ip_p; /* IPPROTO_* */
    uint16 ip_sum;
    uint32 ip_src, ip_dst;
};

struct udp {
    uint16 sport;
    uint16 dport;
    uint16 ulen; /* header and data, in bytes */
    uint16 sum;
};

/* Who has an IP address? */
#define ARP_HRD_ETHER 1

enum { ARP_OP_REQUEST = 1, ARP_OP_REPLY = 2 };

struct arp {
    uint16 hrd; /* ARP_HRD_ETHER */
    uint16 pro; /* ETHTYPE_IP */
    uint8 hln; /* bytes of a hardware address, */
    uint8 pln; /* and of a protocol's */
    uint16 op; /* ARP_OP_* */
    char sha[ETHADDR_LEN]; /* of the sender */
    uint32 sip;
    char tha[ETHADDR_LEN]; /* of the target */
    uint32 tip;
} __attribute__((packed));

/* DNS, in a UDP packet: this header, then questions and answers, each behind a name. */
#define ARECORD 0x0001 /* a question for an address, */
#define QCLASS 0x0001  /* on the Internet */

struct dns {
    uint16 id;
    uint8 rd : 1; /* recursion is desired */
    uint8 tc : 1; /* the message is truncated */
    uint8 aa : 1; /* by an authority */
    uint8 opcode : 4;
    uint8 qr : 1; /* 0 a query, 1 a response */
    uint8 rcode : 4;
    uint8 cd : 1; /* checking is disabled */
    uint8 ad : 1; /* the data is authenticated */
    uint8 z : 1;
    uint8 ra : 1; /* recursion is available */
    uint16 qdcount; /* questions */
    uint16 ancount; /* answers */
    uint16 nscount; /* authorities */
    uint16 arcount; /* and what else there is */
} __attribute__((packed));

struct dns_question {
    uint16 qtype;
    uint16 qclass;
} __attribute__((packed));

struct dns_data {
    uint16 type;
    uint16 class;
    uint32 ttl;
    uint16 len; /* of what follows */
} __attribute__((packed));

#endif
