-- wrk script: the requests of a file in turn, each in a run of its own kind; prints one line of JSON at the end, times in microseconds.
-- In, from the environment: BENCH_BODIES (a file, one JSON body a line, with "@@@@@@@@" where the round of the file goes, so that no
-- request is ever sent twice), BENCH_RUNS (a file, the run of each body and its parent run, or an empty file), BENCH_HEADERS ("name: value" lines).
local function lines(name)
  local found = {}
  for line in io.lines(os.getenv(name)) do found[#found + 1] = line end
  return found
end

local bodies, runs = lines("BENCH_BODIES"), lines("BENCH_RUNS")
local sent, start = 0, os.time() * 1000 % 10000000
local common = { ["Content-Type"] = "application/json" }
for line in os.getenv("BENCH_HEADERS"):gmatch("[^\n]+") do
  local name, value = line:match("^([^:]+):%s*(.*)$")
  common[name] = value
end

function request()
  local at = sent % #bodies + 1
  local round = string.format("%08d", start + math.floor(sent / #bodies))
  sent = sent + 1
  local headers = {}
  for name, value in pairs(common) do headers[name] = value end
  local run = runs[at]
  if run then
    local own, parent = run:match("^(%S+) (%S+)$")
    headers["x-jevons-run-id"] = own .. "-" .. round
    headers["x-jevons-parent-run-id"] = parent .. "-" .. round
  end
  return wrk.format("POST", nil, headers, (bodies[at]:gsub("@@@@@@@@", round)))
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('JSON {"requests":%d,"us":%d,"bad_status":%d,"socket_errors":%d,"p50":%.1f,"p99":%.1f}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
