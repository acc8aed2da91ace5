// A relay of events to the user that each one names, on Socket.IO: what an application of a few lines does.
//
//   node --expose-gc server.js PORT
//
// Tuned as its documentation says: WebSocket only, no compression, no reference to the first request kept.

import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
});

io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null;
});

io.on("connection", (socket) => {
  const user = subject(socket.handshake.auth.token);
  socket.join(user);
  socket.on("relay", ({ to, candidate }) => io.to(to).emit("relay", { from: user, candidate }));
});

// The token's signature is not checked: that is for Turnstone alone to pay.
function subject(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url")).sub;
}

// Memory is compared without garbage: one full collection, once no client has come or gone for a second.
let seen = 0;
let collected = -1;
setInterval(() => {
  const clients = io.engine.clientsCount;
  if (clients === seen && clients !== collected) {
    globalThis.gc();
    collected = clients;
  }
  seen = clients;
}, 1000);

http.listen(Number(process.argv[2]), "127.0.0.1");
