// A Rust program with its standard library: threads, channels, collections, files, a caught panic.
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, panic, thread};

fn main() {
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let (tx, rx) = mpsc::channel();
    let threads: Vec<_> = (0..16)
        .map(|i| {
            let (counts, tx) = (counts.clone(), tx.clone());
            thread::spawn(move || {
                for k in 0..100 {
                    *counts.lock().unwrap().entry(k % 5).or_insert(0) += i;
                }
                tx.send(i).unwrap();
            })
        })
        .collect();
    drop(tx);
    println!("received {}", rx.iter().sum::<i32>());
    for t in threads {
        t.join().unwrap();
    }
    println!("{:?}", counts.lock().unwrap());
    panic::set_hook(Box::new(|_| {}));
    let caught = panic::catch_unwind(|| {
        let v: Vec<i32> = Vec::new();
        v[3]
    });
    println!("caught {}", caught.is_err());
    let dir = env::args().last().unwrap();
    let path = format!("{}/rust.txt", dir);
    write!(fs::File::create(&path).unwrap(), "written by rust").unwrap();
    println!("{}", fs::read_to_string(&path).unwrap());
    println!("{:?}", fs::read_to_string("/none").map_err(|e| e.kind()));
    let start = Instant::now();
    thread::sleep(Duration::from_millis(20));
    println!("{}", start.elapsed() >= Duration::from_millis(20));
}
