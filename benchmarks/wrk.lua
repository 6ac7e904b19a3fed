-- What wrk sends, and its figures as one line of JSON (latencies come in microseconds).
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

-- The requests are made before the load begins: one for each line of the file, sent in turn.
local requests = {}
local number = 0

function init(args)
  for body in io.lines(os.getenv("WRK_BODIES")) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  number = number % #requests + 1
  return requests[number]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
