// A Go program: its runtime makes its own system calls, threads and signal handlers; 1000 goroutines talk over channels.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

func main() {
	var wg sync.WaitGroup
	results := make(chan int, 10)
	for i := 0; i < 1000; i++ {
		wg.Add(1)
		go func(n int) {
			defer wg.Done()
			time.Sleep(time.Duration(n%7) * time.Millisecond)
			results <- n * n
		}(i)
	}
	go func() { wg.Wait(); close(results) }()
	sum := 0
	for r := range results {
		sum += r
	}
	fmt.Println("sum", sum)
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var p *int
		*p = 1
	}()
	words := strings.Fields("the quick brown fox jumps over the lazy dog")
	sort.Strings(words)
	out, _ := json.Marshal(words)
	fmt.Println(string(out))
	fmt.Printf("%x\n", sha256.Sum256([]byte("enclave")))
	path := os.Args[len(os.Args)-1] + "/go.txt"
	if err := os.WriteFile(path, []byte("written by go"), 0o600); err != nil {
		fmt.Println(err)
	}
	data, err := os.ReadFile(path)
	fmt.Println(string(data), err)
	_, err = os.Open("/none")
	fmt.Println(err)
	spin := make(chan bool)
	go func() { // a goroutine that never calls: preempted by a signal
		for x := 0; ; x++ {
			_ = x
		}
	}()
	go func() { time.Sleep(20 * time.Millisecond); spin <- true }()
	fmt.Println(<-spin)
	start := time.Now()
	select {
	case <-time.After(30 * time.Millisecond):
		fmt.Println("timer", time.Since(start) >= 30*time.Millisecond)
	}
}
