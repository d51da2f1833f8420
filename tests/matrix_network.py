"""Cases of the program matrix that talk over the loopback interface: servers and clients as Debian ships them, natively against inside."""

# Three servers of Python's library in processes of their own; clients in threads fetch a file from all of them.
HTTP = r"""
import hashlib, http.server, os, socket, subprocess, sys, threading, time, urllib.error, urllib.request
os.chdir(sys.argv[1])
body = os.urandom(300000)
open("file", "wb").write(body)
servers, ports = [], []
for host in ("127.0.0.1", "0.0.0.0", "::1"):
    p = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "--bind", host, "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    servers.append(p)
    ports.append(p.stdout.readline().split(" port ")[1].split()[0])
bad = []
def fetch(k):
    for i in range(6):
        host = "[::1]" if (k + i) % 3 == 2 else "127.0.0.1"
        with urllib.request.urlopen("http://%s:%s/file" % (host, ports[(k + i) % 3]), timeout=60) as r:
            if r.status != 200 or r.read() != body: bad.append((k, i))
threads = [threading.Thread(target=fetch, args=(k,)) for k in range(6)]
for t in threads: t.start()
for t in threads: t.join()
print("bad:", bad)
try: urllib.request.urlopen("http://127.0.0.1:%s/none" % ports[0])
except urllib.error.HTTPError as e: print(e.code)
for p in servers: p.terminate()
print([p.wait() for p in servers])
try: urllib.request.urlopen("http://127.0.0.1:%s/file" % ports[0])
except urllib.error.URLError as e: print(e.reason)
print(socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM), [name for _, name in socket.if_nameindex()][:1])
"""

# asyncio: a server that echoes, many clients at once, in one process.
ASYNC = r"""
import asyncio
async def main():
    async def echo(reader, writer):
        while data := await reader.read(65536): writer.write(data); await writer.drain()
        writer.close()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def client(k):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        data = bytes([k]) * 400000
        writer.write(data); writer.write_eof()
        back = await reader.read(-1)
        writer.close(); await writer.wait_closed()
        return back == data
    print(all(await asyncio.gather(*(client(k) for k in range(40)))))
    server.close(); await server.wait_closed()
asyncio.run(main())
"""

REDIS = r"""
cd "$1"; n=$2; port=$((20000 + $$ % 10000)); cli="redis-cli -p $port"
redis-server --port $port --bind 127.0.0.1 ::1 --dir $1 --save '' --daemonize no --logfile log > /dev/null & for i in $(seq 1 100); do $cli ping > /dev/null 2>&1 && break; sleep 0.1; done
redis-benchmark -p $port -q -c 20 -n $n -r 1000 -t set,get,lpush > bench.log; echo "load ended with $?"; tr '\r' '\n' < bench.log | grep -c 'requests per second'
redis-benchmark -p $port -q -c 5 -n $n -P 16 -t ping > bench.log; echo "load ended with $?"
redis-cli -h ::1 -p $port set key value; $cli get key; $cli -h 127.0.0.1 client list | grep -c 'addr=127.0.0.1:'; $cli shutdown nosave; wait; $cli ping 2>&1 | cut -d: -f3
"""

POSTGRES = r"""
d=$1/pg; bin=/usr/lib/postgresql/15/bin; port=$((20000 + $$ % 10000)); export PGHOST=127.0.0.1 PGPORT=$port PGUSER=postgres PGDATABASE=postgres LC_ALL=C TZ=UTC
mkdir -p $d; cd $1; run=; [ $(id -u) = 0 ] && { chmod 777 $1; chown postgres:postgres $d; run="setpriv --reuid=postgres --regid=postgres --init-groups"; }
$run $bin/initdb -D $d -A trust -U postgres --no-sync > $d.initdb 2>&1 || { cat $d.initdb; exit 1; }
$run $bin/pg_ctl -D $d -l $d/log -s -w -t 60 -o "-c listen_addresses=127.0.0.1,::1 -c port=$port -c unix_socket_directories= -c shared_buffers=16MB -c max_connections=20" start || { cat $d/log; exit 1; }
$bin/psql -Atc "create table t as select i, md5(i::text) as m from generate_series(1, 5000) i; select count(*), min(m), sum(i) from t"
$bin/pgbench -q -i -s 1 2>&1 | grep -c '^done in'; $bin/pgbench -c 4 -j 2 -T $2 > bench.log 2>&1 || cat bench.log; grep -E 'clients:|failed' bench.log
PGHOST=::1 $bin/psql -Atc "select inet_client_addr(), inet_server_addr(), inet_server_port() = $port"
$run $bin/pg_ctl -D $d -s -m fast -w -t 60 stop || { tail -20 $d/log; exit 1; }; $bin/pg_controldata -D $d | grep 'cluster state'
"""


def cases(case, python, long):
    yield case("net.http", python, "-c", HTTP, "{tmp}", timeout=180)
    yield case("net.asyncio", python, "-c", ASYNC, timeout=180)
    yield case("net.redis", "/bin/sh", "-c", REDIS, "redis", "{tmp}", "50000" if long else "3000", timeout=300)
    yield case("net.postgres", "/bin/sh", "-c", POSTGRES, "postgres", "{tmp}", "20" if long else "3", timeout=300)
