//! Which threads are polled when an event wakes a job.

use super::{chunk, drive};
use crate::*;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What waits: for each number whether it may go on and who is to be woken; all looks in their order.
#[derive(Default)]
struct Waits {
    open: RefCell<Vec<bool>>,
    wakers: RefCell<Vec<Option<Waker>>>,
    looks: RefCell<Vec<usize>>,
    said: RefCell<Vec<usize>>,
}

impl Host for Waits {}

fn machine() -> Vm {
    let vm = Vm::new(&Options::default()).expect("a VM");
    let rows = vec![
        Row::suspends("hang", YIELDABLE, |cx, stack| {
            let number = stack.check_number(1, "hang")? as usize;
            let waits = cx.host::<Waits>().ok_or("no waits")?;
            Ok(Suspension::wait(|| {
                std::future::poll_fn(move |context| {
                    waits.looks.borrow_mut().push(number);
                    if waits.open.borrow().get(number) == Some(&true) {
                        return Poll::Ready(Ok(Reply::Empty));
                    }
                    let mut wakers = waits.wakers.borrow_mut();
                    if wakers.len() <= number {
                        wakers.resize(number + 1, None);
                    }
                    wakers[number] = Some(context.waker().clone());
                    Poll::Pending
                })
            }))
        }),
        Row::calls("note", YIELDABLE, |cx, stack| {
            let number = stack.check_number(1, "note")? as usize;
            cx.host::<Waits>().ok_or("no waits")?.said.borrow_mut().push(number);
            Ok(0)
        }),
    ];
    vm.bind(&Group { name: "test", rows, glue: "local b = ... b.G.hang, b.G.note = b.R.hang, b.R.note" }).expect("the test API");
    vm.bind(&light_threads()).expect("the thread API");
    vm
}

fn release(waits: &Waits, number: usize) {
    let mut open = waits.open.borrow_mut();
    if open.len() <= number {
        open.resize(number + 1, false);
    }
    open[number] = true;
    drop(open);
    let waker = waits.wakers.borrow()[number].clone().expect("it waits");
    waker.wake();
}

#[test]
fn a_wake_looks_at_its_thread_alone_and_wakes_keep_their_order() {
    let vm = machine();
    let code = "for i = 1, 1000 do ngx.thread.spawn(function() hang(i) note(i) end) end hang(0) note(0)";
    let waits = Rc::new(Waits::default());
    let Started::Waiting(mut job) = Job::start(&vm, chunk(&vm, code), LuaPhase::CONTENT, Rc::clone(&waits) as Rc<dyn Host>) else {
        panic!("it waits")
    };
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut job).poll(&mut context).is_pending());
    waits.looks.borrow_mut().clear();
    for number in [700, 3, 999, 0] {
        release(&waits, number);
    }
    assert!(Pin::new(&mut job).poll(&mut context).is_pending());
    assert_eq!(*waits.looks.borrow(), [700, 3, 999, 0]);
    assert_eq!(*waits.said.borrow(), [700, 3, 999, 0]);
    (1..=1000).filter(|number| ![700, 3, 999].contains(number)).for_each(|number| release(&waits, number));
    assert!(matches!(drive(Started::Waiting(job)), Completion::Returned));
    assert_eq!((waits.looks.borrow().len(), waits.said.borrow().len()), (1001, 1001));
}

#[test]
fn a_thread_that_is_alone_wakes_the_task() {
    let vm = machine();
    // Alone, then beside another, then alone again.
    let code = "hang(0) ngx.thread.spawn(function() hang(1) note(1) end) hang(2) note(2) hang(3) note(3)";
    let waits = Rc::new(Waits::default());
    let Started::Waiting(mut job) = Job::start(&vm, chunk(&vm, code), LuaPhase::CONTENT, Rc::clone(&waits) as Rc<dyn Host>) else {
        panic!("it waits")
    };
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut job).poll(&mut context).is_pending());
    for number in [0, 1, 2] {
        release(&waits, number);
        assert!(Pin::new(&mut job).poll(&mut context).is_pending());
    }
    release(&waits, 3);
    assert!(matches!(drive(Started::Waiting(job)), Completion::Returned));
    assert_eq!(*waits.said.borrow(), [1, 2, 3]);
}
