/* SPDX-License-Identifier: BSL-1.0 */
/* How producers wake a loop that sleeps: the steps S1 to S4, P1, P2, Q1 and Q2 of
   <rondo/core/post_queue.hpp> and EventLoop::wait(), for two producers that post twice and somebody
   who stops the loop. Every order of the steps is tried. A wake-up that gets lost is a loop that
   sleeps for ever, which Spin finds as an invalid end state; what must hold besides is asserted.

   LOOK_THEN_SLEEP, LOOK_THEN_PUSH and NO_SECOND_LOOK each plant a mistake that must be found. */

#define EMPTY 0
#define ASLEEP 1
#define NODES 2 /* the newest of some nodes */

byte head = EMPTY;
byte posted = 0;   /* on the stack */
byte done = 0;     /* run */
bool stop = false; /* what the loop looks at in S2 */
byte wake_up = 0;  /* the eventfd: what was written and not read */
byte sleeps = 0;   /* times that S1 has said "asleep" */
byte writes = 0;   /* of the eventfd: at most one for each sleep */
byte others = 0;   /* times that the kernel had something else to report */

inline wake() { /* P2 */
    atomic { wake_up++; writes++; assert(writes <= sleeps) }
}

inline post() { /* P1 */
#ifdef LOOK_THEN_PUSH
    was_asleep = (head == ASLEEP);
    atomic { head = NODES; posted++ }
#else
    atomic { was_asleep = (head == ASLEEP); head = NODES; posted++ }
#endif
    if
    :: was_asleep -> wake()
    :: else
    fi
}

inline poke() { /* Q2 */
    atomic {
        was_asleep = (head == ASLEEP);
        if
        :: was_asleep -> head = EMPTY
        :: else
        fi
    }
    if
    :: was_asleep -> wake()
    :: else
    fi
}

proctype Producer() {
    bool was_asleep;
    post();
    post()
}

proctype Stopper() {
    bool was_asleep;
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
#ifdef LOOK_THEN_SLEEP
       sleeping = (head == EMPTY);
       if
       :: sleeping -> head = ASLEEP; sleeps++
       :: else
       fi;
#else
       atomic { /* S1 */
           sleeping = (head == EMPTY);
           if
           :: sleeping -> head = ASLEEP; sleeps++
           :: else
           fi
       }
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
          fi;
          atomic { /* S4 */
              if
              :: head == ASLEEP -> head = EMPTY
              :: else
              fi
          }
       :: else
       fi
    od;
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
