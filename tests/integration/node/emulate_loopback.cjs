// Loaded first (`node --require`): every server of this process listens on 127.0.0.1, whatever its author asked for.
'use strict';

const { Server } = require('node:net');

const listen = Server.prototype.listen;

Server.prototype.listen = function listenOnLoopback(first, ...rest) {
  const callback = rest.find((argument) => typeof argument === 'function');
  if (first !== null && typeof first === 'object') {
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  }
  return listen.call(this, { port: Number(first ?? 0), host: '127.0.0.1' }, callback);
};
