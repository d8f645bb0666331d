"""Every limit and time-out, with its reason: first those that callers and upstreams meet, which docs/doors.md lists, then those inside.

One table, however long: most topics go through several rooms (a breaker is in `policy` and in `gateway`), and what bounds a process is to be seen
together. What an operator can set begins with the value that stands here.
"""

# Bodies and answers
BODY_BYTES_MAX = 64 * 2**20
"""One decoded request body: larger than any provider accepts (OpenAI 50 MB of images, Anthropic 32 MB)."""
BODIES_IN_FLIGHT_BYTES_MAX = 512 * 2**20
"""All request bodies held at once: keeps a burst of large prompts from exhausting memory."""
DECODE_RATIO_MAX = 100
"""Decoded : encoded bytes of a compressed body. JSON rarely passes 30; a gzip bomb starts at 1000."""
DECODE_RATIO_FLOOR_BYTES = 2**20
"""Below this decoded size the ratio is not looked at: tiny bodies of repeated spaces are harmless."""
ANSWER_BYTES_MAX = 256 * 2**20
"""One non-streamed upstream answer (128 embeddings of 4096 floats are 7 MB; 10 base64 images about 60 MB)."""
SSE_EVENT_BYTES_MAX = 16 * 2**20
"""One server-sent event of an upstream; an image result is a few MB."""
JSON_DEPTH_MAX = 128
"""Nesting of a body where policy reads it. Tool schemas seldom pass 20."""
COUNT_INLINE_BYTES_MAX = 64 * 2**10
"""Text longer than this is counted in a thread (64 KiB take about 4 ms)."""

# Time
CONNECT_TIMEOUT_S = 5.0
FIRST_BYTE_TIMEOUT_S = 600.0
"""Reasoning models think for minutes before the first byte."""
STREAM_IDLE_TIMEOUT_S = 300.0
"""Clients give up at 300 s of silence (research: Claude Code, Codex, opencode, ai)."""
READ_TIMEOUT_SLACK_S = 1.0
"""How much later than ours the client library's own clock for a silent upstream fires."""
DISCONNECT_WATCH_DELAY_S = 0.05
"""A non-streamed call is watched for a client that left only after this long: the watcher costs more than a fast call."""
HOLD_WAIT_MAX_S = 2.0
"""How long a call refused only because of open holds waits for one of them to be resolved."""
SHUTDOWN_GRACE_S = 10.0
"""How long open requests may finish after a stop signal; then they are cancelled and settled."""
SHUTDOWN_SETTLE_S = 2.0
"""How long cancelled requests may take to settle and say so to their clients; it takes milliseconds, but for a client that never reads."""

# Attempts
ATTEMPTS_MAX = 15
"""Attempts of one request; the attempt number has four bits in an entry's id."""
RETRIES_DEFAULT = 2
RETRY_BACKOFF_FIRST_S = 0.5
RETRY_BACKOFF_MAX_S = 8.0
RETRY_AFTER_MAX_S = 30.0
"""A provider that asks for a longer wait is not retried: the client hears of it instead."""

# Breakers, cool-downs, hedges
BREAKER_FAILURES = 5
"""So many failures in a row open a breaker; or so many within two windows, if they are at least half of what ended there. One failed deployment of a
provider's many fails single calls now and then."""
BREAKER_WINDOW_S = 15.0
"""Long enough for five calls of one busy agent."""
BREAKER_OPEN_FIRST_S = 5.0
"""How long it stays open first: most incidents that pass by themselves take seconds. Then twice as long each time."""
BREAKER_OPEN_MAX_S = 120.0
"""One call in two minutes finds out whether a long incident is over."""
BREAKER_CLAIM_S = 60.0
"""A call that shows whether it answers again is waited for so long; then the next one may."""
COOL_DOWN_DEFAULT_S = 1.0
"""After a 429 without Retry-After; twice as long each time in a row. Token buckets of providers fill within seconds."""
COOL_DOWN_MAX_S = 3600
"""A longer Retry-After (a daily quota) is looked at again after an hour."""
COOL_DOWN_WAIT_MAX_S = 2.0
"""When all that may answer cool down, a call waits so long for the first of them; longer, and its client is told when to come back."""
PROBE_EVERY_S = 5.0
"""How often an upstream whose breaker is open is asked, at no charge, whether it is there."""
PROBE_TIMEOUT_S = 5.0
HEDGE_MIN_S = 0.05
"""A second attempt is not sent sooner, whatever was learnt: it would double the load of a fast upstream for a few milliseconds."""
HEDGE_OUTPUT_TOKENS_MAX = 1_024
"""A call that is not streamed is interactive if its answer is no longer than this."""
HEDGE_BUDGET_PCT = 90
"""Of any limit on money: nothing is spent for speed beyond."""

# Output
OUTPUT_TOKENS_DEFAULT = 8_192
"""Injected cap when the client sends none and the key names none."""
OUTPUT_TOKENS_MAX = 10_000_000
"""A client's output cap above this is a mistake (models end at 128 Ki to 1 Mi), and its worst case would not fit 64 bits."""
TOOL_USES_MAX = 100_000
"""A client's bound on priced tool calls above this is no bound."""
OUTPUT_TOKENS_FLOOR = 16
"""Below this an affordable cap is a refusal: such an answer helps nobody."""
THINKING_FLOOR_TOKENS = 1_024
"""Room for the visible answer over Anthropic's `thinking.budget_tokens`."""
IN_FLIGHT_OUTPUT_TOKENS = 64
"""Tokens a provider may have made, unseen, between our cancel and its noticing (about half a second at 128 tokens/s)."""
IN_FLIGHT_S = 0.5
"""How far back the last chunk of a stream may lie for IN_FLIGHT_OUTPUT_TOKENS to cover what came since."""

# What is counted and remembered of callers
COUNT_TOKENS_PER_MINUTE_MAX = 600
"""Calls of the free count_tokens door per key and minute. Claude Code's /context sends 26 at once."""
IDEMPOTENCY_TTL_S = 24 * 3600
"""How long an Idempotency-Key is remembered (Stripe's floor)."""
RESPONSE_OWNER_TTL_S = 30 * 24 * 3600
"""How long we remember which key created a stored response (OpenAI keeps them 30 days)."""

# --- Inside ---

# The process
GC_ALLOCATIONS = 20_000
"""Allocations between two collections of young objects: about every hundred requests instead of every five."""

# Doors
ROUTE_MEMO_ENTRIES_MAX = 1_024
"""Remembered routes, URLs and Host values: more than any operator has, fewer than a client could invent."""
FAMILY_MEMO_ENTRIES_MAX = 1_024
"""Header values whose client program is remembered: more than there are programs and versions in use, fewer than a client could invent."""

# Connections to upstreams
KEEPALIVE_IDLE_S = 12.0
"""How long a connection to an upstream rests before it is closed: load balancers close after 60 s or more, some after 15 to 20, and a
request that crosses their closing is lost with its money in doubt."""
STREAM_BUFFER_BYTES_MAX = 256 * 2**10
"""Unread bytes of an answer at which its upstream is held back: a client that reads slowly must not fill our memory."""
ANSWER_HEAD_BYTES_MAX = 64 * 2**10
"""The headers of an answer, and what may come between two pieces of a body (chunk marks, trailers). Providers send about 2 KiB."""
UPLOAD_SLICE_BYTES = 256 * 2**10
"""A larger request body is written in slices, each when the last is on its way: encrypted whole, it would be in memory twice."""

# Credentials
AUTH_COMMAND_TIMEOUT_S = 20.0
"""A command that prints a credential (cloud CLIs take 1 to 5 s)."""
AUTH_COMMAND_TTL_S = 300
"""How long its token is used when neither it nor the configuration says when it expires."""
AUTH_REFRESH_AHEAD_S = 60.0
"""A token is renewed in the background this long before it expires, so that no request waits for the command."""
AUTH_OUTPUT_BYTES_MAX = 64 * 2**10
"""What such a command may print: tokens stay under 8 KiB."""
AUTH_REJECTED_INTERVAL_S = 10.0
"""A rejected token is replaced at most this often: a wrong command must not run once per request."""

# Upstreams that are remembered
CIRCUITS_MAX = 4_096
"""Upstreams x credentials x models whose calls are remembered, about 1 KB each. Names of models are the client's; the one called longest ago goes."""
CIRCUIT_WAITS = 64
"""Of each, the latest waits for a first byte: enough for a 95th percentile, few enough to follow a provider that becomes slow."""
CIRCUIT_WAITS_MIN = 20
"""From so many on their 95th percentile is taken; one in twenty is above it."""
CIRCUIT_WRITTEN_S = 30.0
"""How often the waits of a circuit are written down at most; a breaker that opens or closes is written at once."""
RUNS_ANSWERED_MAX = 16_384
"""Runs of which is remembered who answered last, about 250 bytes each."""

# Answers and their streams
SEEN_BYTES_MAX = 2**20
"""Streamed bytes kept per open stream to count what was seen; older ones are counted and folded."""
CALL_BYTES_MAX = 64 * 2**20
"""Events of a tool call that are held until it is complete: 128 Ki tokens, each in a chunk of 300 bytes, are 40 MB."""

# Runs and conversations
RUN_DEPTH_MAX = 32
"""Runs that started one another. Agents nest two or three deep; each level is looked at with every call."""
RUNS_KEPT_MAX = 2_048
"""Runs in memory: 1 KB for a single call, 20 KB for a long run, 200 KB for one with eight conversations; older ones are found again in
the ledger."""
LINEAGE_NAMES_MAX = 131_072
"""Links by which requests without a run id are found again, two for each, about 250 bytes each; the key that has the most lets go first."""
LINEAGE_NAMES_OF_RUN_MAX = 2_048
"""Of one run: a conversation that is taken up again before its latest thousand requests is a new run."""
LINEAGE_RECALLED_MAX = 20_000
"""Calls of inferred runs that a start reads from the ledger, so that conversations go on in their runs: about 50 ms."""
LINEAGE_TTL_S = 24 * 3600
"""How long a conversation may rest until it is a new run: overnight."""
IDENTITY_MEMO_ENTRIES_MAX = 65_536
"""Messages whose identity is remembered, about 200 bytes each."""
IDENTITY_BYTES_MAX = 64 * 2**10
"""A longer message is the same only as its own bytes: to decode it would hold up others (64 KiB take 0.2 ms)."""
IDENTITY_NEW_BYTES_MAX = 256 * 2**10
"""Unknown messages of one request that are decoded, from its end, where clients change what they sent before; under a millisecond."""

# Loops
TRAIL_STEPS_MAX = 64
"""Latest steps of a conversation in which identical calls are counted, and beyond which a step is new again."""
TRAIL_PERIOD_MAX = 8
"""Steps of the longest cycle that is noticed. Longer ones show in the count of identical calls."""
TRAIL_CONVERSATIONS_MAX = 8
"""Conversations that one run keeps up at once (a title, subagents without a run of their own); the one used longest ago is let go, and
read anew from its own history if it comes again."""
TRAIL_MESSAGES_KEPT = 8
"""Latest messages by which a conversation is found again. Clients move cache marks on the last two user messages, which changes the
last four."""
TRAIL_MESSAGES_READ_MAX = 256
"""Unknown messages of one request that are read, from its end: more than TRAIL_STEPS_MAX steps, a millisecond or two."""
TRAIL_MESSAGE_BYTES_MAX = 256 * 2**10
"""A larger message is not read for loops: mostly it is an image or a file, and it would hold up others for a millisecond."""
TRAIL_SILENT_MAX = 4_096
"""Messages known to have nothing for the loop detector (system prompts, tools), about 150 bytes each; then they are read anew."""
TRAIL_STEPS_SEEN_MAX = 128
"""Latest steps of all conversations of a run, by which a request that is sent again is told from one that is due again."""
TRAIL_REQUESTS_MAX = 16
"""Latest different requests of a run whose repetitions are counted."""
TRAIL_SENDS_PER_REPEAT = 4
"""A failing request is sent three times by most SDKs; the most stubborn client that was measured sends it 30 times (research: clients)."""
TRAIL_OPEN_CALL_BYTES_MAX = 16 * 2**10
"""Message with a call that is kept until its result comes with a later request; without it such a call is not compared."""
PRINT_TEXT_CHARS_MAX = 8 * 2**10
"""A longer text is compared as a whole, not by its words: these take about half a millisecond."""
PRINT_WORDS_MEMO_MAX = 8_192
"""Words whose bits are remembered, about 700 bytes each."""

# Governor
ACCOUNTS_KEPT_MAX = 65_536
"""Accounts in memory before those without open holds are let go."""
RETRY_HELPS_MAX_S = 60
"""A limit that has room again this soon is answered by 429 and Retry-After; a longer wait is nobody's plan, and 402 stops the client."""
HOLD_RETRY_AFTER_S = 1
"""What a client is told to wait when only open calls are in its way."""
PACKED_SAMPLES = 128
"""Latest answers of a caller from which a packed hold is estimated: enough for a 95th percentile, few enough to follow a change."""
PACKED_SAMPLES_MIN = 20
"""Below this a 95th percentile says nothing, and holds are strict."""
PACKED_CALLERS_MAX = 4_096
"""Callers (key and model) whose answers are remembered, about 3 KB each."""
PACKED_GROWTH_TOKENS = 256
"""A packed hold grows by half of itself, at least by this: about two seconds of a fast model, so that a sync is seldom waited for."""
CALL_FRAME_TOKENS = 16
"""What a provider may bill for a tool call beyond its name and arguments; Anthropic and OpenAI use four to twelve."""
NOTE_FRAME_TOKENS = 16
"""What a provider may wrap around one more block or message, in tokens; OpenAI and Anthropic use three to eight."""
TOLD_FROM_PCT = 50
"""Share of a limit from which an agent is told of it, where notes are on: before that a note only costs tokens."""
DEGRADED_TURNS_MAX = 64
"""Latest turns of a run that go on with a cheaper model; one that is forgotten while a tool works goes on with the model it asks for."""
NOTES_EVERY_S = 60
"""Denials of one kind within this time share a line of the audit log, with their number: a client in a loop must not fill the disk."""
NOTED_RUNS_MAX = 256
"""Kinds of denials within that time of which each run has lines of its own. Beyond it runs share their key's: a client that is refused, and
begins a new run each time, must not fill the disk either."""
QUESTIONS_OF_KEY_MAX = 64
"""Questions to a person that one key may have asked within the time that they stay open: more are refused without one."""
APPROVAL_TTL_S = 900
"""How long a question to a person stays open before it counts as denied."""
APPROVAL_ATTEMPTS_PER_MINUTE_MAX = 10
"""Wrong tokens on the approval page within a minute, before it asks to wait: a person mistypes a few times."""
APPROVAL_FORM_BYTES_MAX = 4 * 2**10
"""What the approval page's form sends: a token of 68 characters and a word."""
STANDING_CALLERS_MAX = 1_000
"""Callers (key, agent, model) whose accounts `jevons limits` calls up after a restart, the latest first: about a millisecond each."""

# Ledger
COMMIT_ROWS_MAX = 512
"""Operations in one transaction: bounds how long the slowest of a batch waits."""
LEDGER_RETRY_S = 1.0
"""How often the writer tries again by itself while the ledger cannot be written."""
LEDGER_BUSY_S = 5.0
"""How long a commit or a reader waits for another program that has the ledger file locked."""
ORDERS_READ_MAX = 4_096
"""Newest entries in which a start looks for the latest event: a call that outlived more of them is behind the clock by then."""
LEDGER_FLUSH_S = 5.0
"""How long a change of limits waits until everything before it is on disk; a commit takes about a millisecond."""

# Counting
COUNT_CHUNK_CHARS = 32 * 2**10
"""Text counted at once: the tokenizer holds the interpreter lock (about 2 ms for this much), so long texts are cut where it is exact."""
PREFIX_MEMO_ENTRIES_MAX = 65_536
"""Messages whose token count is remembered (about 150 bytes each)."""
MODEL_FACTS_MEMO_MAX = 4_096
"""Model names whose facts are remembered; names come from clients."""

# Prices
PRICE_DOWNLOAD_BYTES_MAX = 64 * 2**20
"""One published price list (genai-prices' is about 3 MB): anything larger is not one."""
PRICE_DOWNLOAD_TIMEOUT_S = 30.0
"""Silence of the server that publishes prices; `jevons prices update` is not on any request's path."""
PRICE_COMPILE_TIMEOUT_S = 300.0
"""Compiling takes about 2 s; a slow, busy machine may need much longer."""
PRICE_MEMO_ENTRIES_MAX = 4_096
"""Resolved prices remembered per (provider, model, context), about 2 KB each; model names come from clients."""
TARIFF_MEMO_ENTRIES_MAX = 4_096
"""Price rows whose tariff is remembered: a fleet uses a few dozen, an import a few hundred."""
MODEL_LINES_MEMO_MAX = 8_192
"""Models (by provider and price) whose line is remembered: a look-up goes through some hundred patterns, and there is one for each entry."""

# Trimming
TRIM_REF_DIGITS = 15
"""Of a reference, which is paid for at every turn: five tokens, where as much in hexadecimal takes ten. Of 10,000 originals two share one with a
chance of 1 in 20 million."""
TRIM_TEXT_BYTES_MAX = 4 * 2**20
"""A longer tool output is left as it is: to read this much takes a thread a fifth of a second."""
ORIGINAL_OVERHEAD_BYTES = 500
"""What one original takes beside its bytes: its place in the memory."""
TRIM_RAM_MIB = 64
"""Memory for tool output that was made shorter, as it came: a thousand outputs of 50 KB."""
TRIM_TTL_H = 24
"""How long it is kept after it was last sent. A conversation that goes on sends it again with every request."""
TRIM_DECISIONS_MAX = 65_536
"""Tool outputs of which is remembered how they were sent. A conversation that is forgotten goes on untrimmed, and pays for its prefix once more."""

# Kept answers
ANSWERS_RAM_MIB = 256
"""About 300,000 short answers: an hour of 80 kept answers a second."""
ANSWERS_TTL_S = 3600
"""Long enough for retries, evaluations and the fan-out of a batch; a model behind a name may be another one tomorrow."""
KEPT_ANSWER_BYTES_MAX = 2**20
"""A longer answer is not kept: it would take the place of a thousand others."""
KEPT_QUESTION_BYTES_MAX = 4 * 2**20
"""The answer to a longer request is not kept: to bring it into its one spelling takes seconds, and many times its memory."""
ANSWER_EVENTS_BYTES_MAX = 32 * 2**20
"""Of the events of one streamed answer while it is put together. An event of one token has 20 to 40 times its bytes."""
ANSWER_ENTRY_BYTES = 248
"""What a kept answer takes in memory beyond its own bytes (`make bench-answers`): counted, so that the bound is one of memory."""
FLIGHT_WAIT_MAX_S = 120.0
"""How long a request waits for another's answer to the same question. A leader whose client reads slowly shall not hold up the others for ever."""

# Answers to similar requests
SEMANTIC_TEXT_CHARS_MAX = 2_000
"""A longer question is not compared by the mean of its words: a detail that turns the answer would be lost in it."""
SIMILAR_RAM_MIB = 128
"""About 270,000 questions, nearly as many as there are short answers in ANSWERS_RAM_MIB."""
SIMILAR_ENTRIES_MAX = 1_000_000
"""A search goes through all of a context: about a millisecond at so many (make bench-similar), and nothing else is served meanwhile."""
SIMILAR_ENTRY_BYTES = 352
"""What a question takes in memory beside its code: its place in the order of use, what it has proved (make bench-similar)."""
SIMILAR_PLACE_BYTES = 800
"""What a context takes that has any."""
SIMILAR_MODELS_MAX = 64
"""Models of one organisation of which is remembered how sure answers are; the one asked longest ago is learnt anew."""
SIMILAR_ANSWER_CHARS_MAX = 8_000
"""A longer answer is not given to others: comparing it takes more than a millisecond."""
SIMILAR_ANSWER_BYTES_MAX = 64 * 2**10
"""Nor one whose body is longer, such as by log probabilities: eight are unpacked and read for each answer that is compared."""
SIMILAR_TIDIED = 64
"""Of the questions used longest ago, how many one lookup forgets because their answers are gone: 0.2 ms. After a quiet hour all of them may be."""
SIMILAR_SEARCHES_MAX = 2
"""How often one lookup searches anew because what was near has no answer any more."""
SIMILAR_CHECKS_MAX = 8
"""Checks of cached answers under way at once: at 3 % of hits, some 100 hits a second."""

# What is remembered to find breaks of prefixes
MARK_BYTES_MAX = 256 * 2**10
"""A longer message is known by its digest only: to look into it takes a millisecond."""
MARK_NEW_BYTES_MAX = 512 * 2**10
"""Of one request: messages beyond, unknown so far, are known by their digests. An agent's next turn has a few KB; this is a long
history met for the first time."""
MARK_WORDS_BYTES_MAX = 16 * 2**10
"""A longer system prompt is compared by its lines: its words take 0.1 us each."""
BREAKS_MEMORY_BYTES = 64 * 2**20
"""Marks of the latest requests of conversations, a tenth of their texts: hundreds of long ones, tens of thousands of short ones."""
BREAK_TOKENS_MIN = 256
"""A smaller loss is no finding: providers match in steps of 128 tokens, and shares of bytes are not exact."""
EDIT_PIECES_MAX = 16
"""Changed words (or lines) of a message that still may be a clock or an id; more are an edit."""
EDIT_BYTES_MAX = 16 * 2**10
"""Of what was changed, and of what stands on either side, so much is looked at: each takes two milliseconds, in which nobody is served."""

# What is believed of providers' prompt caches
PREFIX_MODELS_MAX = 32
"""Models at their upstreams; names are the client's, so their number needs a bound."""
PREFIX_PARTS_MAX = 8_192
"""Cached beginnings of one model, about 250 bytes each: those of an hour at two requests a second."""
PREFIX_STOPS_MAX = 65_536
"""Beginnings that are watched for being sent again, about 400 bytes each."""
ARRIVALS_WATCHED_MAX = 1_024
"""Of each age, so many requests are watched for what follows them, about 300 bytes each: at most 450 observations a second, of 5 us each."""
RETURNS_TRAITS_MAX = 4_096
"""Traits of requests whose returns are counted, mostly keys, about 500 bytes each; the one seen longest ago goes."""
RETURNS_MEMO_MAX = 4_096
"""Combinations of them whose odds are remembered, about 400 bytes each."""
PREFIX_KNOWN_MAX = 4_096
"""Conversations of which is known how long each beginning is: about 6 KB for one of 50 messages."""
PREFIX_LINKS_MAX = 262_144
"""Of all of them: messages, about 150 bytes each."""
PREFIX_MESSAGES_MAX = 2_048
"""A request of more is neither planned for nor looked at for what broke its prefix: to look at so many takes 50 ms, in which nobody is served."""

# Routes
PREDICTORS_LOOKED_AT_S = 30.0
"""How often it is looked whether a route was trained anew: a look into a folder, in a thread."""
EMBEDDED_CHARS_MAX = 1_000
"""Of a question that is compared by meaning: so many take 0.4 ms on the event loop, and what is asked stands at the beginning."""
TEMPLATE_BYTES_MAX = 64 * 2**10
"""Instructions, tools and schema that are written in one spelling before they are compared: a millisecond. Longer ones go by their bytes."""

# Learned routes
LEARN_TEXT_CHARS_MAX = 1_600
"""Of a question, what a predictor looks at: 0.3 ms."""
LEARN_NEIGHBOURS_ROWS_MAX = 4_096
"""Judged requests that a predictor by nearest ones compares with: 4 MB to go through for each request, half a millisecond."""

# Promises of routes
PROMISE_LABELS_MAX = 16_200
"""Of each model of a route, about 150 bytes each. To look at so many takes 20 ms; that is done once in 10,800 labels."""
PROMISE_MODELS_MAX = 64
"""Of each route of an organisation; each version of a student is one. The one judged longest ago goes."""
PROMISE_ALL_LABELS_MAX = 1_000_000
"""Of all models of all organisations, about 190 MB. Beyond, those judged longest ago keep their latest few, and what is promised of them."""
PROMISE_ROOM_EVERY = 1_000
"""Labels between two looks at how many there are."""
PROMISE_WRITTEN_EVERY = 20
"""Labels between two writings of what they have changed a little: so many bets a crash forgets. Whatever changes a threshold or a stage is written at once."""

# Cascades
CASCADE_TRY_MAX_S = 30.0
"""So long a small model may take in a cascade. Then the large one is asked: its answer comes later by so much at most."""
CASCADE_TRIES_BYTES_MAX = 64 * 2**20
"""Requests and answers of tries that wait to be graded beside the large model's answer; in memory about four times as much. Beyond, a try is not graded."""
CASCADE_LABELS_MAX = 2_000
"""Latest labels of a small model on a route, from which is learnt how good its answers are at each confidence: 2 ms."""
CASCADE_MODELS_MAX = 256
"""Small models on routes of organisations of which that is known, 200 KB each at most; the one first seen goes."""

# Labels
SHADOWS_MAX = 8
"""Samples under way at once, as many as there are checks of cached answers; one that comes while there are more is not taken."""
SHADOW_MAX_S = 300.0
"""A sample takes one of few places. Long answers of models that think come within minutes; what takes longer is cut off, and is no label."""
SHADOW_BODY_BYTES_MAX = 2 * 2**20
"""A longer request is not asked again: it is kept in memory until its shadows have answered, and costs the most."""
SCHEMA_BYTES_MAX = 32 * 2**10
"""Answers are not held against a longer schema: each of its alternatives may be tried with each part of an answer."""
JUDGED_REQUEST_CHARS_MAX = 24_000
"""What a judge is shown of a request, its end and a little of its beginning: about 6,000 tokens."""
JUDGED_ANSWER_CHARS_MAX = 12_000
"""The same of each of the two answers."""
JUDGE_OUTPUT_TOKENS = 1_024
"""What a judge is expected to write at most: one letter, after some thinking."""
FEEDBACK_PER_MINUTE_MAX = 600
"""Of one key: each is looked up on the disk."""
FEEDBACK_BYTES_MAX = 16 * 2**10
"""Feedback is a few words of JSON."""
FEEDBACK_RUN_ANSWERS_MAX = 256
"""The latest answers of a run that its outcome labels; longer runs are rare, and say least about each answer."""

# Captured examples and students
CAPTURE_DAYS = 90
"""How long captured examples are kept: a quarter is enough to train on, and to see whether a task changes."""
CAPTURE_EXAMPLES_MAX = 200_000
"""Captured examples of all organisations, about 1 KB each; a student learns little from more than 20,000 of one task."""
STUDENT_ANSWERS_MAX = 1_024
"""Latest answers of students that were scored, some 100 KB: of these is told what a route then chooses, within milliseconds."""
CAPTURE_QUEUE_MAX = 1_024
"""Answers that wait to be kept or compared, some MB; what comes while there are more is counted, and neither."""
CAPTURE_BATCH_MAX = 64
"""Of these in one transaction: a few milliseconds of a thread."""
CAPTURE_ANSWER_CHARS_MAX = 16 * 2**10
"""A longer answer is no student's to give."""
CAPTURE_PRUNE_S = 3600.0
"""How often captured examples are looked through for those past their retention, which is stated in days."""

# Pages
LOGIN_LINK_TTL_S = 300
"""How long the link of `jevons dashboard` opens a session: long enough to reach for it, too short to be found in a history."""
LOGIN_LINK_AHEAD_S = 30
"""How long before the gateway is up its link may be made: `jevons demo --serve` prints one and then starts."""
SESSION_TTL_S = 7 * 24 * 3600
"""How long a browser stays signed in: a page that is kept open should last a week."""
PAGE_FORM_BYTES_MAX = 4 * 2**10
"""What a form of the pages sends: a subject and a reason."""
LIVE_EVERY_S = 2.0
"""How often the live page looks for a commit: a person cannot read faster, and the gateway has better things to do."""
LIVE_REST = 25
"""How many times as long as the last picture took the next one is waited for: in a large ledger the page takes a twenty-fifth of a core, no more."""
LIVE_ANYWAY_S = 15.0
"""How often it is drawn anew without one: runs fall quiet, windows end."""
LIVE_VIEWERS_MAX = 64
"""Open live pages. All see the same picture, made once; each costs a connection and what changes on it."""
LIVE_MINUTES = 60
"""Minutes of the rate that are drawn."""
LIVE_RUN_S = 15 * 60
"""A run that called within this time is live: agents think for minutes, and people read what they wrote."""
LIVE_RUNS_MAX = 40
"""Latest live runs that are shown, with their trees."""
EXPLANATIONS_KEPT = 8
"""Latest explanations of the bill page, so that what is opened in one sums to it; some hundred segments each."""
PAGE_ANSWERS_KEPT = 16
"""Forecasts and comparisons that the pages keep; some hundred kilobytes each."""
PAGE_ANSWER_KEPT_S = 60.0
"""How long: a forecast is a second of one processor, and moves by the day."""
PAGE_ROWS_MAX = 100
"""Rows of a table on a page; what more there is, is said with its sum, and listed by the command line."""
PAGE_THREADS = 2
"""Threads of the pages: whoever looks at a long table waits for others who do, and calls wait for neither."""

# Imports
IMPORT_CHUNK_BYTES = 2**20
"""Read at once from a file that is imported."""
IMPORT_HEAD_BYTES = 64 * 2**10
"""First bytes of a file, by which its shape is known: any header, and most lines of a log."""
IMPORT_ROW_BYTES_MAX = 64 * 2**20
"""One row: a line of a session log may hold several images in base64."""
IMPORT_COUNT_MAX = 2**50
"""Tokens or calls of one row: a thousand times the largest provider's month; the sum of many still fits 64 bits."""
IMPORT_NUSD_MAX = 10**15
"""Cost of one row, a million dollars: the bill of a large company's month; the sum of thousands still fits 64 bits."""
IMPORT_BATCH_ROWS = 4_096
"""Rows in one transaction, with the mark that says how far the file is done: about 0.2 s of work, which is what a kill may cost."""
IMPORT_BATCH_ROWS_SERVING = 512
"""The same while a gateway serves: its calls wait for the transaction, about 20 ms."""
IMPORT_CACHE_KIB = 16 * 2**10
"""Pages of the ledger in memory while rows come in: their digests are spread over all of their index."""
IMPORT_CHECKPOINT_PAGES = 16_384
"""Pages of the journal (64 MiB) before they are copied into the ledger while rows come in: each is written once for many batches."""
IMPORT_BATCH_BYTES_MAX = 16 * 2**20
"""One batch on its way to the serving process: 512 rows are half a MiB."""
IMPORT_SETTLE_S = 600
"""A call of a session log this young may still be written to: it is left for the next import."""
IMPORT_PENDING_CALLS = 4_096
"""Latest calls of one session log that wait for further lines of theirs: a call's lines lie within a few dozen."""
IMPORT_NAME_CHARACTERS_MAX = 512
"""Of a model, an agent, a run, a team: whatever is longer stands in the wrong column, and may be a prompt."""
IMPORT_SET_ASIDE_SHOWN = 10
"""Rows set aside that are shown with their reason; the file has all."""
SESSIONS_COUNTED_MAX = 20_000
"""Session logs that a start counts before it says "more than"."""

# Replay
REPLAY_ROWS_KEPT = 20_000
"""Posts of a replay in memory before they go to its scratch file, with their sums in one statement: about 10 MB."""
REPLAY_REFUSED_KEPT = 100_000
"""Latest refused requests of which further attempts are left out; an attempt comes minutes after the one before, at most."""
REPLAY_RESAMPLES = 1_000
"""Draws of a bootstrap: the ends of a 95 % interval move by less than a tenth of its width from seed to seed."""
REPLAY_SAMPLES = 2_000
"""Latest answers of an agent and model that are compared with those of another."""
REPLAY_SAMPLES_MIN = 30
"""With fewer answers of either model the difference of their lengths is assumed, and said to be."""
REPLAY_RUNS_SHOWN = 5
"""Runs that a limit would have stopped, the dearest first."""

# Why a bill changed
EXPLAIN_STEPS_MAX = 31
"""Steps in which a part of a span is followed to another: a month by the day. More would cost time and show little else."""
EXPLAIN_PARTS_MAX = 4
"""Parts of a span that are followed apart: the weeks of a month."""
EXPLAIN_SEGMENTS_MAX = 50
"""Segments of an effect that are named; the rest is one sum."""

# Local engine
LOCAL_SLOTS = 4
"""Requests that the local engine decodes in one batch."""
LOCAL_QUEUE_MAX = 64
"""Requests that may wait for the local engine."""
LOCAL_CONTEXT_TOKENS = 4_096
"""Context of each slot. KV of the 135M model is 23 KiB a token: four slots hold 378 MB; twice that would pass 0.9 GB in all."""
LOCAL_BATCH_TOKENS = 64
"""Prompt tokens per engine step. A step is what other streams wait for during a long prefill: 0.5 s here, 16 s at llama.cpp's
2,048; prefill speed is the same down to 64 on one core, and falls by a third at 32."""
ENGINE_USAGE_TAIL_BYTES = 4_096
"""The end of an answer, in which llama.cpp says how many tokens of the prompt it had."""
ENGINE_INNER_READ_BYTES = 2**18
"""Read at once from llama.cpp's server."""
ENGINE_SLOT_TIMEOUT_S = 20.0
"""To save, restore or erase a slot: tens of milliseconds, but the server does so between two batches."""
ENGINE_START_TIMEOUT_S = 120.0
"""From spawn to ready: the packaged model takes 1 to 2 s; a large one from a slow disk a minute."""
ENGINE_WAIT_S = 10.0
"""How long a call to the local model waits while it starts; a start takes about a second, an installation longer than anybody waits."""
ENGINE_STOP_GRACE_S = 5.0
"""Between SIGTERM and SIGKILL. The engine keeps nothing that needs saving."""
ENGINE_RESTART_FIRST_S = 0.25
ENGINE_RESTART_MAX_S = 8.0
ENGINE_CRASHES_MAX = 5
"""Ends in a row, none after a stable time, before the state says `failed`."""
ENGINE_STABLE_S = 60.0
"""An engine that has been ready this long starts with a clean record when it ends."""
ENGINE_RETRY_S = 60.0
"""How often a failed engine is tried again."""
ENGINE_PARTS_POLL_S = 5.0
"""How often we look whether absent engine packages have appeared."""
ENGINE_PROBE_EVERY_S = 5.0
ENGINE_PROBE_TIMEOUT_S = 10.0
ENGINE_PROBES_LOST_MAX = 3
"""A probe is lost when the engine's own HTTP threads do not answer in time; three in a row are a hung process, not a busy core."""
ENGINE_LOG_BYTES_MAX = 2**20
"""engine.log is moved to engine.log.1 at this size, so both together stay under 2 MiB."""
ENGINE_LOG_LINES_KEPT = 100
"""Last lines of the engine's log in memory, for the text of an error."""
ENGINE_LINE_BYTES_MAX = 2**16
INSTALL_STOP_GRACE_S = 10.0
"""Between SIGINT and SIGKILL for an interrupted installer: pip rolls back on SIGINT."""
EXPERTS_TEXT_TOKENS_MAX = 4_096
"""Tokens of one text whose routing is read: the shares of 128 experts in 48 layers are then 100 MB."""

# Parked conversations
PARK_RAM_MIB = 256
"""Memory for parked conversations: 11,000 tokens of the 135M model as they are, 40,000 compressed. llama.cpp's own cache takes 8 GiB."""
PARK_BLOCK_TOKENS = 256
"""Tokens of one parked block: what two conversations share is found to within one block, and a block of the 135M model is 6 MB."""
PARK_GIB_PER_COMPUTE = 0.05
"""What a GiB costs an hour against what two cores cost an hour: the list prices of clouds differ by $0.0036 a GiB and $0.075 for the cores. A
block is let in if it is likely to save more seconds than it costs: one of the 135M model (6 MB, 1.3 s) for a sure use within an hour or so."""
PARK_PREFILL_S_PER_BYTE = 5e-11
"""Seconds to read a token, per byte of the model's file: 200 tokens/s for the packaged 98 MB on one core; larger files take as much longer."""
PARK_IDLE_S = 2.0
"""How long a conversation rests in its slot before it is parked for a restart: an agent's next step mostly comes sooner."""
PARK_STATES_WAITING_MAX = 2
"""States on their way into the park, each as large as a slot's context in memory; while there are as many, what a request displaces is lost."""
PARK_LINKS_FIRST = 8
PARK_LINKS_LAST = 120
"""Links of a message chain that a request carries to the engine, 4 KB: the first are what conversations share, the last what they go on from."""
PARK_LABELLED_BYTES_MAX = 2**20
"""Messages of a request that are digested for the engine, on the gateway's event loop: 8 ms for this much. 128k tokens of English are half of it."""
PARK_ODD_STATES_MAX = 3
"""So many states in a row that cannot be taken apart, and the model is taken for one whose states never can."""
PARK_BLOCK_BYTES_MAX = 256 * 2**20
"""One parked block: 256 tokens of a model of 126 layers (8 KV heads of 128, f16) are 132 MB. A larger file is none of ours."""
PARK_DISK_FREE_MIN_BYTES = 2**30
"""Left free on the disk, or PARK_DISK_FREE_MIN_SHARE of it where that is less: the ledger often shares it, and a ledger that cannot
write stops every call."""
PARK_DISK_FREE_MIN_SHARE = 0.05
PARK_DISK_RETRY_S = 60.0
"""How long nothing is parked on a disk that was full or failed, before it is tried again."""
PARK_WRITES_BYTES_MAX = 128 * 2**20
"""Blocks that wait to be written to disk and that the park's RAM does not hold anyway: half a second of a slow SSD. What comes while there are
more is not written."""
PARK_CLOSE_S = 3.0
"""How long the park writes on when the engine is told to stop: under ENGINE_STOP_GRACE_S, after which it is killed."""
PARK_TIDY_S = 5.0
"""How often the trails of conversations are written down and erased tenants are looked for: what a kill may cost."""
PARK_EXPIRE_S = 3600.0
"""How often parked files are looked through for those past their retention, which is stated in hours."""
PARK_TRAIL_LINKS_MAX = 65_536
"""Messages by which a parked conversation is found again, about 300 bytes each."""
PARK_TRAIL_KEYS_MAX = 262_144
"""Block keys in all trails, about 70 bytes each; a conversation of 8,000 tokens has 32."""

# The engine's builds
CHOOSE_BUDGET_S = 30.0
"""A choice of the engine's build is waited for by a person: no round is begun that would end after this."""
CHOOSE_ROUNDS_LEAST = 3
"""Also on a slow or busy machine, whatever it takes: a median of less is none."""
CHOOSE_ROUNDS_MAX = 9
"""Three builds take 3 s a round here."""
CHOOSE_REQUEST_TIMEOUT_S = 120.0
"""One round of one build takes a second here, and a slow machine with a large model a minute."""
NATIVE_FETCH_TIMEOUT_S = 300.0
"""11 MB through npm: seconds, on a slow line minutes."""
