"""A fake API: streamed messages over HTTP/1.1 and HTTP/2 that fail where a script says.

    POST /v1/messages                with "stream": true a stream of events, else one document
    POST /v1/messages/count_tokens   a number
    GET, HEAD /v1/models             a list
    POST /v1/other                   counts how often it was processed: it is not on the list of
                                     those that may be sent again
    anything else                    404

"seed" in the request's JSON chooses the message. Every request is in the log.

- server: `Api` for the small internet, `fake_api` for loopback; core: one request's way.
- faults: `Fault`, `Failure(fault, position)`, `Status`, `Script`; stream: `Position`.
- messages, stream: what is said, as a document and as events; answers: heads, bodies and cuts.
- http1, http2, endings: the protocols, and how a connection ends.
- log: what it was asked, and which rules were broken.
"""
