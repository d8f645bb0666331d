-- wrk script: the same POST again and again; prints one line of JSON at the end, times in microseconds.
-- In: BENCH_BODY (a file) and BENCH_HEADERS ("name: value" lines), from the environment.
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
for line in os.getenv("BENCH_HEADERS"):gmatch("[^\n]+") do
  local name, value = line:match("^([^:]+):%s*(.*)$")
  wrk.headers[name] = value
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('JSON {"requests":%d,"us":%d,"bad_status":%d,"socket_errors":%d,"p50":%.1f,"p99":%.1f}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
