/* SPDX-License-Identifier: BSL-1.0 */
/* How producers wake a loop that sleeps: the steps S1 to S4, P1, P2 and Q1 of
   <rondo/core/post_queue.hpp> and EventLoop::wait(), for two producers that post twice and somebody
   who stops the loop, which closes the queue in the end. Every order of the steps is tried. A wake-up
   that gets lost is a loop that sleeps for ever, which Spin finds as an invalid end state; what must
   hold besides is asserted.

   LOOK_THEN_SLEEP, LOOK_THEN_PUSH, NO_SECOND_LOOK and COUNT_LATE each plant a mistake that must be
   found. */

#define EMPTY 0
#define NODES 1 /* the newest of some nodes */

byte head = EMPTY;
bool asleep = false;
byte wakers = 0;   /* who is between the look and the end of wake */
byte posted = 0;   /* on the stack */
byte done = 0;     /* run */
bool stop = false; /* what the loop looks at in S2 */
bool gone = false; /* the poller, after close() */
byte wake_up = 0;  /* the eventfd: what was written and not read */
byte sleeps = 0;   /* times that S1 has said "asleep" */
byte writes = 0;   /* of the eventfd: at most one for each sleep */
byte others = 0;   /* times that the kernel had something else to report */

inline take_tag() {
#ifdef COUNT_LATE
    atomic { mine = asleep; asleep = false };
    wakers++;
#else
    wakers++;
    atomic { mine = asleep; asleep = false };
#endif
    if
    :: mine -> atomic { assert(!gone); wake_up++; writes++; assert(writes <= sleeps) }
    :: else
    fi;
    wakers--
}

inline poke() { /* P2 */
    if
    :: asleep -> take_tag()
    :: else
    fi
}

inline post() { /* P1 */
#ifdef LOOK_THEN_PUSH
    mine = asleep;
    atomic { was_empty = (head == EMPTY); head = NODES; posted++ };
    if
    :: was_empty && mine -> take_tag()
    :: else
    fi
#else
    atomic { was_empty = (head == EMPTY); head = NODES; posted++ };
    if
    :: was_empty -> poke()
    :: else
    fi
#endif
}

proctype Producer() {
    bool was_empty;
    bool mine;
    post();
    post()
}

proctype Stopper() {
    bool mine;
    stop = true; /* Q1 */
    poke()
}

proctype Loop() {
    bool sleeping;
    do
    :: atomic { /* take() and run what was there */
           if
           :: head == NODES -> head = EMPTY; done = done + posted; posted = 0
           :: else
           fi
       }
       if
       :: stop && done == 4 -> break
       :: else
       fi;
#ifdef LOOK_THEN_SLEEP /* S1 */
       sleeping = (head == EMPTY);
       atomic { asleep = true; sleeps++ };
#else
       atomic { asleep = true; sleeps++ };
       sleeping = (head == EMPTY);
#endif
       if
       :: sleeping ->
          if
#ifndef NO_SECOND_LOOK
          :: stop && done == 4 /* S2 */
#endif
          :: else ->
             if /* S3 */
             :: atomic { wake_up > 0 -> wake_up = 0 }
             :: atomic { others < 2 -> others++ }
             fi
          fi
       :: else
       fi;
       if /* S4: a look and a plain store */
       :: asleep -> asleep = false
       :: else
       fi
    od;
    asleep = false; /* close() */
    wakers == 0;
    gone = true;
    assert(posted == 0 && done == 4)
}

init {
    atomic {
        run Producer();
        run Producer();
        run Stopper();
        run Loop()
    }
}
