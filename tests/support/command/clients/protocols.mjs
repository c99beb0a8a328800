// A server of HTTP/1.1 with a WebSocket (RFC 6455) that tells of each change of a file, and one of HTTP/2.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { watch } from 'node:fs'

const [file, port, http2Port] = process.argv.slice(2)
const sockets = new Set()
const server = createServer((_request, response) => response.end('page'))
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
  const accept = createHash('sha1').update(key).digest('base64')
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`
  )
  sockets.add(socket)
  socket.on('error', () => sockets.delete(socket))
})
watch(file, () => sockets.forEach((socket) => socket.write(Buffer.from('\x81\x06reload', 'latin1'))))
server.listen(Number(port), 'localhost')

const http2 = createHttp2Server()
http2.on('stream', (stream) => stream.respond({ ':status': 200 }) || stream.end(Buffer.alloc(1 << 18)))
http2.listen(Number(http2Port), '127.0.0.1')
process.stdin.on('end', () => process.exit(0)).resume()
