// Three players, many rounds, and one name that is lost on the way: docs/debugger.md finds out who took it.
#include "kernel/types.h"
#include "user/user.h"

struct player {
    int score;
    char name[8];
};
struct player players[3];

static void set_name(struct player *player, const char *name)
{
    strcpy(player->name, name);
}

static void play(int rounds)
{
    static uint seed = 1;
    for (int i = 0; i < rounds; i++) {
        seed = seed * 1103515245 + 12345;
        players[(seed >> 16) % 3].score += (seed >> 24) % 6 + 1;
    }
}

int main(void)
{
    set_name(&players[0], "Ada");
    set_name(&players[1], "Bob");
    set_name(&players[2], "Eve");
    play(1000);
    set_name(&players[0], "Ada Lovelace");
    play(1000);
    for (int i = 0; i < 3; i++)
        printf("%s has %d points\n", players[i].name, players[i].score);
    return 0;
}
