import type {OutgoingHttpHeaders, ServerResponse} from 'node:http';
import {expect} from 'chai';
import {openSource} from '../../src/files/open_source';
import {readWhole, type RequestOptions, type SourceFile} from '../../src/files/source';
import {rejection} from '../support/rejection';
import {FileServer, type ServerOptions} from './file_server';

/** Longer than what a URL's file brings when it is opened. */
const large = Uint8Array.from({length: 200_000}, (_, i) => (i * 7) % 251);

describe('a server that is changed, broken or hostile', () => {
  const servers: FileServer[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
  });

  async function serve(options: ServerOptions): Promise<FileServer> {
    const server = await FileServer.start(new Map([['a', large]]), options);
    servers.push(server);
    return server;
  }

  async function open({url}: FileServer, request?: RequestOptions): Promise<SourceFile> {
    return (await openSource('test', url, request).open('a'))!;
  }

  /** Of each request but the first, `how` is to have an effect; the first one opens the file. */
  async function message(answer: NonNullable<ServerOptions['answer']>): Promise<string> {
    let requests = 0;
    const server = await serve({answer: (...given) => requests++ > 0 && answer(...given)});
    const file = await open(server);
    const error = await rejection(file.read(100_000, 100_010));
    return error.message.replace(server.url, 'URL');
  }

  const part = {'content-range': 'bytes 100000-100009/200000'};

  it('answers with another part', async () => {
    const other = await message((_, response) => {
      response.writeHead(206, {'content-range': 'bytes 90000-90009/200000'});
      response.end(large.subarray(90_000, 90_010));
    });
    expect(other).to.equal(
      'test: GET URL/a for bytes 100000 to 100009 was answered with bytes from 90000 on; ' +
        'get the files from another server, or copy them to this machine first',
    );
  });

  it('gives less than it promises', async () => {
    const short = await message((_, response) => {
      response.writeHead(206, part).end(large.subarray(0, 7));
    });
    expect(short).to.equal(
      'test: GET URL/a for bytes 100000 to 100009 should give 10 bytes; got 7',
    );
  });

  const endless: NonNullable<ServerOptions['answer']> = (_, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(large));
    };
    response.on('drain', more);
    more();
  };

  it('gives more than it promises, without end', async () => {
    const first = {'content-range': 'bytes 0-65535/200000'};
    for (const [headers, ask, expected] of [
      [part, message, /^test: GET URL\/a for bytes 100000 to 100009 gives more than 10 bytes; /],
      [
        first,
        async (answer: ServerOptions['answer']) =>
          (await rejection(open(await serve({answer})))).message,
        / for bytes 0 to 65535 gives more than 65536 bytes; /,
      ],
    ] as const) {
      let closed: (sent: number) => void;
      const sent = new Promise<number>((resolve) => (closed = resolve));
      const long = await ask((request, response) => {
        const {socket} = request;
        response.writeHead(206, headers);
        response.on('close', () => closed(socket.bytesWritten));
        return endless(request, response);
      });
      expect(long).to.match(expected);
      expect(await sent).to.be.within(1, 50e6);
    }
  });

  it('does not say which part it gives', async () => {
    const unknown = await message((_, response) => {
      response.writeHead(206).end(large.subarray(100_000, 100_010));
    });
    expect(unknown).to.match(/^test: URL\/a had 200000 bytes and now answers with 'null'; it was/);
  });

  it('sends a file without end', async () => {
    let closed: Promise<unknown>;
    const {url} = await serve({
      answer: (request, response) => {
        closed = new Promise((resolve) => response.on('close', resolve));
        response.writeHead(200);
        return endless(request, response);
      },
    });
    const {message} = await rejection(openSource('test', url).open('a'));
    expect(message).to.equal(
      `test: the answer to GET ${url}/a does not say how long it is, and has not ended after 268435456 bytes; ` +
        'get the files from another server, or copy them to this machine first',
    );
    await closed!;
  });

  it('has another state of the file', async () => {
    for (const [name, before, now] of [
      ['etag', '"a"', '"b"'],
      ['last-modified', 'Tue, 24 Nov 2026 10:00:00 GMT', 'Wed, 25 Nov 2026 10:00:00 GMT'],
    ] as const) {
      let value: string = before;
      const setHeader: ServerOptions['answer'] = (_, response) => {
        response.setHeader(name, value);
        return false;
      };
      const server = await serve({answer: setHeader});
      const file = await open(server);
      expect(await file.read(90_000, 90_003)).to.deep.equal(large.slice(90_000, 90_003));
      value = now;
      const changed = `test: ${server.url}/a had ${name} ${before} and now has ${now}; it was changed while it was read`;
      expect((await rejection(file.read(100_000, 100_010))).message).to.equal(changed);

      value = before;
      const whole = await serve({answer: setHeader, ranges: false});
      const stream = await open(whole);
      await stream.read(0, 10);
      value = now;
      expect((await rejection(stream.read(0, 10))).message).to.equal(
        changed.replace(server.url, whole.url),
      );
      await stream.close();
    }
  });

  it('says only now and then of which state the file is', async () => {
    for (const tagged of [0, 1]) {
      let requests = 0;
      const server = await serve({
        answer: (_, response) => {
          if (requests++ === tagged) response.setHeader('etag', '"a"');
          return false;
        },
      });
      const file = await open(server);
      expect(await file.read(100_000, 100_003)).to.deep.equal(large.slice(100_000, 100_003));
    }
  });

  it('is not asked by a page, of another origin, for a header that it would have to allow', async () => {
    const asked: unknown[] = [];
    const server = await serve({
      answer: (request, response) => {
        asked.push(request.headers['if-range']);
        response.setHeader('etag', '"a"');
        return false;
      },
    });
    const {fetch} = globalThis;
    globalThis.fetch = async (...args) =>
      Object.defineProperty(await fetch(...args), 'type', {value: 'cors'});
    try {
      await (await open(server)).read(100_000, 100_010);
    } finally {
      globalThis.fetch = fetch;
    }
    expect(asked).to.deep.equal([undefined, undefined]);
  });

  it('is asked for parts of the same state only', async () => {
    const asked: unknown[] = [];
    const tags = ['"a"', 'W/"a"'];
    for (const tag of tags) {
      const server = await serve({
        answer: (request, response) => {
          asked.push(request.headers['if-range']);
          response.setHeader('etag', tag);
          return false;
        },
      });
      await (await open(server)).read(100_000, 100_010);
    }
    // a weak tag does not promise the same bytes
    expect(asked).to.deep.equal([undefined, '"a"', undefined, undefined]);
  });

  it('falls silent, before an answer or within', async () => {
    const silences: Array<NonNullable<ServerOptions['answer']>> = [
      () => undefined,
      (_, response) => void response.writeHead(200, {'content-length': 5}).write('a'),
    ];
    for (const answer of silences) {
      const server = await serve({answer});
      const read = async (): Promise<unknown> => (await open(server, {timeout: 200})).read(0, 5);
      const start = performance.now();
      expect((await rejection(read())).message).to.equal(
        `test: GET ${server.url}/a has brought nothing for 0.2 s; ` +
          'try again, or wait longer with the option `request`: {timeout: milliseconds}',
      );
      expect(performance.now() - start).to.be.below(5000);
      expect(server.requests).to.have.length(1);
    }
    for (const timeout of [0, 3e9]) {
      expect(() => openSource('test', 'http://localhost', {timeout})).to.throw(
        `test: request.timeout (in milliseconds) must be a number > 0 and <= 2147483647; got ${timeout}`,
      );
    }
  });

  /** Sends so many bytes every 50 ms, until the file has come. */
  function slowly(each: number): NonNullable<ServerOptions['answer']> {
    return (_, response) => {
      response.writeHead(200, {'content-length': 1000});
      let sent = 0;
      const timer = setInterval(() => {
        response.write('a'.repeat(each));
        sent += each;
        if (sent === 1000 || response.destroyed) clearInterval(timer);
      }, 50);
    };
  }

  it('may take its time as long as enough comes', async () => {
    const server = await serve({ranges: false, answer: slowly(100)});
    const file = await open(server, {timeout: 200});
    expect(await file.read(0, 1000)).to.deep.equal(new Uint8Array(1000).fill('a'.charCodeAt(0)));
    await file.close();
  });

  it('may begin slowly', async () => {
    const server = await serve({
      ranges: false,
      answer: (_, response) => {
        response.writeHead(200, {'content-length': 1000}).flushHeaders();
        setTimeout(() => response.write(large.subarray(0, 1)), 50);
        setTimeout(() => response.end(large.subarray(1, 1000)), 100);
      },
    });
    const file = await open(server, {timeout: 5000});
    expect(await file.read(0, 1000)).to.deep.equal(large.slice(0, 1000));
    await file.close();
  });

  it('sends a byte now and then', async () => {
    const server = await serve({ranges: false, answer: slowly(1)});
    const file = await open(server, {timeout: 200});
    expect((await rejection(file.read(0, 1000))).message).to.match(
      new RegExp(
        `^test: GET ${server.url}/a brings \\d bytes in 0\\.\\d+ s, and must bring 1000 a second; ` +
          'try again, or get the files from another server$',
      ),
    );
    await file.close();
  });

  it('sends enough at first, and then a byte now and then', async () => {
    const file = await open(
      await serve({
        ranges: false,
        answer: (_, response) => {
          response.writeHead(200, {'content-length': 50_010});
          response.write(large.subarray(0, 50_000));
          let sent = 0;
          const timer = setInterval(() => {
            response.write('a');
            if (++sent === 10 || response.destroyed) clearInterval(timer);
          }, 100);
        },
      }),
      {timeout: 200},
    );
    expect((await rejection(file.read(0, 50_010))).message).to.match(/ brings \d bytes in /);
    await file.close();
  });

  it('is given up at once by the caller', async () => {
    const server = await serve({answer: () => undefined});
    const caller = new AbortController();
    const opening = rejection(open(server, {signal: caller.signal}));
    caller.abort(new Error('enough'));
    expect((await opening).message).to.equal(`test: GET ${server.url}/a failed: enough`);
  });

  describe('keeps its connection only until an error ends the reading, or the caller', () => {
    /** Begins an answer that never ends: a byte now and then. */
    function drip(response: ServerResponse, status = 200, headers: OutgoingHttpHeaders = {}): void {
      response.writeHead(status, headers).write('a');
      const timer = setInterval(() => response.write('a'), 20);
      response.on('close', () => clearInterval(timer));
    }
    const size = {'content-length': 1e9};
    /** Files are left open where that is not what closes the connection. */
    const failed = async (file: Promise<SourceFile>): Promise<unknown> =>
      rejection(file.then((opened) => opened.read(0, 100_000)));

    const ways: ReadonlyArray<
      readonly [
        how: string,
        answers: ReadonlyArray<(response: ServerResponse) => void>,
        read: (server: FileServer) => Promise<unknown>,
      ]
    > = [
      [
        'hardly anything comes, of a file of no known size',
        [(response) => drip(response)],
        (server) => failed(open(server, {timeout: 200})),
      ],
      [
        'hardly anything comes, of a file of a known size',
        [(response) => drip(response, 200, size)],
        (server) => failed(open(server, {timeout: 200})),
      ],
      [
        'nothing comes',
        [(response) => void response.writeHead(200).write('a')],
        (server) => failed(open(server, {timeout: 200})),
      ],
      ...[301, 404, 500].map(
        (status) =>
          [
            `status ${status}`,
            [(response: ServerResponse) => drip(response, status)],
            async (server: FileServer) => open(server).catch(() => undefined),
          ] as const,
      ),
      [
        'another part',
        [(response) => drip(response, 206, {'content-range': 'bytes 5-9/10'})],
        (server) => failed(open(server)),
      ],
      [
        'parts of a file of no known size, and then no file',
        [(response) => drip(response, 206), (response) => drip(response, 500)],
        (server) => failed(open(server)),
      ],
      [
        'a changed file',
        [
          (response) => drip(response, 200, {...size, etag: '"a"'}),
          (response) => drip(response, 200, {...size, etag: '"b"'}),
        ],
        async (server) => {
          const file = await open(server);
          await file.read(0, 2);
          expect((await rejection(file.read(0, 1))).message).to.match(/ now has "b";/);
        },
      ],
      [
        'a redirect that does not end',
        [
          (response) => drip(response, 302, {location: '/model/b'}),
          (response) => void response.writeHead(200, {'content-length': 1}).end('a'),
        ],
        async (server) => (await open(server, {headers: {'x-key': 'x'}})).close(),
      ],
      [
        'a redirect that does not end, and fetch follows',
        [
          (response) => drip(response, 302, {location: '/model/b'}),
          (response) => void response.writeHead(200, {'content-length': 1}).end('a'),
        ],
        async (server) => (await open(server)).close(),
      ],
      [
        'a redirect that is refused',
        [(response) => drip(response, 302, {location: '/model/b'})],
        (server) => failed(open(server, {redirect: 'error'})),
      ],
      [
        'a file that is closed early',
        [(response) => drip(response, 200, size)],
        async (server) => {
          const file = await open(server);
          await file.read(0, 1);
          await file.close();
        },
      ],
      [
        'a file that is too large',
        [(response) => drip(response, 200, size)],
        ({url}) => rejection(readWhole('test', openSource('test', url), 'a', 100)),
      ],
      [
        'the caller',
        [(response) => drip(response, 200, size)],
        async (server) => {
          const caller = new AbortController();
          const reading = failed(open(server, {signal: caller.signal}));
          setTimeout(() => caller.abort(new Error('enough')), 50);
          await reading;
        },
      ],
    ];
    for (const [how, answers, read] of ways) {
      it(how, async () => {
        const closed: Array<Promise<unknown>> = [];
        const server = await serve({
          answer: (_, response) => {
            answers[closed.length]!(response);
            closed.push(new Promise((resolve) => response.on('close', resolve)));
          },
        });
        await read(server);
        expect(closed).to.have.length(answers.length);
        await Promise.all(closed);
      });
    }
  });

  describe('redirects', () => {
    it('to itself, and is sent the headers again', async () => {
      const asked: unknown[] = [];
      const server = await serve({
        answer: ({url, headers}, response) => {
          asked.push(headers['x-key']);
          if (url !== '/model/a') return false;
          response.writeHead(302, {location: 'b/../../model/%61'}).end();
        },
      });
      const file = await open(server, {headers: {'x-key': 'secret'}});
      expect(await file.read(0, 9)).to.deep.equal(large.slice(0, 9));
      expect(asked).to.deep.equal(['secret', 'secret']);
    });

    it('to another host, which is not sent the headers', async () => {
      const asked: unknown[] = [];
      const other = await serve({
        answer: ({headers}) => {
          const {authorization, range} = headers;
          asked.push([headers['x-key'], authorization, range]);
          return false;
        },
      });
      const server = await serve({
        answer: (_, response) => void response.writeHead(302, {location: `${other.url}/a`}).end(),
      });
      const given: HeadersInit[] = [{'x-key': 'x', authorization: 'x'}, {authorization: 'x'}];
      for (const headers of given) {
        const file = await open(server, {headers});
        expect(await file.read(0, 9)).to.deep.equal(large.slice(0, 9));
      }
      expect(asked).to.deep.equal([
        [undefined, undefined, 'bytes=0-65535'],
        [undefined, undefined, 'bytes=0-65535'],
      ]);
    });

    it('with each status of a redirect, and with no other', async () => {
      for (const status of [301, 302, 303, 307, 308, 300, 304]) {
        const server = await serve({
          answer: ({url}, response) => {
            if (url !== '/model/a') return false;
            response.writeHead(status, {location: '/model/%61'}).end();
          },
        });
        const opening = open(server, {headers: {'x-key': 'x'}});
        if (status === 300 || status === 304)
          expect((await rejection(opening)).message).to.match(new RegExp(`answered ${status} `));
        else expect((await opening).size).to.equal(large.length);
      }
    });

    it('at most 20 times', async () => {
      const server = await serve({
        answer: ({url}, response) => {
          const at = url === '/model/a' ? 0 : Number(/\d+/.exec(url!)![0]);
          if (at === 20) response.writeHead(200).end('end');
          else response.writeHead(302, {location: `/${at + 1}`}).end();
        },
      });
      expect((await open(server, {headers: {'x-key': 'x'}})).size).to.equal(3);
    });

    it('in a page, which does not show where to', async () => {
      const {fetch} = globalThis;
      globalThis.fetch = async (_, init) =>
        init?.redirect === 'manual'
          ? Object.defineProperty(new Response(null), 'type', {value: 'opaqueredirect'})
          : new Response('end');
      try {
        const openWith = (headers: HeadersInit): Promise<SourceFile | null> =>
          openSource('test', 'http://localhost', {headers}).open('a');
        // which fetch itself keeps back
        expect((await openWith({authorization: 'x'}))!.size).to.equal(3);
        const opening = openWith({'x-key': 'x'});
        expect((await rejection(opening)).message).to.equal(
          'test: GET http://localhost/a failed: it redirects to where `request.headers` cannot be kept back; ' +
            'ask the other host for the files, or leave the headers out',
        );
      } finally {
        globalThis.fetch = fetch;
      }
    });

    it('in a circle', async () => {
      const server = await serve({
        answer: (_, response) => void response.writeHead(302, {location: '/model/a'}).end(),
      });
      const {message} = await rejection(open(server, {headers: {'x-key': 'secret'}}));
      expect(message).to.equal(`test: GET ${server.url}/a failed: more than 20 redirects`);
    });

    it('and is refused where the caller says so', async () => {
      const server = await serve({
        answer: (_, response) => void response.writeHead(302, {location: '/model/b'}).end(),
      });
      const given: HeadersInit[] = [{}, {'x-key': 'secret'}];
      for (const headers of given) {
        const {message} = await rejection(open(server, {redirect: 'error', headers}));
        expect(message).to.match(/failed: fetch failed \(unexpected redirect\)$/);
      }
    });
  });
});
