import {execFileSync} from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {gzipSync} from 'node:zlib';
import {expect} from 'chai';
import {isFolderPath} from '../../src/files/file_url';
import {openFileAt} from '../../src/files/folder_source';
import {openSource} from '../../src/files/open_source';
import {readWhole, type FileSource, type ModelSource} from '../../src/files/source';
import {withBroken, withShortReads} from '../support/broken_files';
import {openFilesIn} from '../support/open_files';
import {rejection} from '../support/rejection';
import {captureInfo} from '../support/warnings';
import {FileServer, type ServerOptions} from './file_server';

const small = Uint8Array.from({length: 100}, (_, i) => i);
/** Longer than what a URL's file brings when it is opened. */
const large = Uint8Array.from({length: 200_000}, (_, i) => (i * 7) % 251);
const files = new Map([
  ['small.bin', small],
  ['part/large file.bin', large],
  ['empty', new Uint8Array()],
]);

const open = (source: ModelSource): FileSource => openSource('test', source);

describe('sources of files', () => {
  let folder: string;
  const servers: FileServer[] = [];

  before(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'owlore-source-')));
    mkdirSync(join(folder, 'model', 'part'), {recursive: true});
    for (const [path, bytes] of files) writeFileSync(join(folder, 'model', path), bytes);
    writeFileSync(join(folder, 'secret'), 'secret');
    symlinkSync('../secret', join(folder, 'model', 'outward'));
    mkdirSync(join(folder, 'model2'));
    writeFileSync(join(folder, 'model2', 'other'), small);
    symlinkSync('../model2/other', join(folder, 'model', 'beside'));
    symlinkSync('small.bin', join(folder, 'model', 'inward'));
    symlinkSync('itself', join(folder, 'model', 'itself'));
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
    expect(openFilesIn(folder)).to.deep.equal([]);
  });
  after(() => rmSync(folder, {recursive: true}));

  async function serve(options?: ServerOptions): Promise<FileServer> {
    const server = await FileServer.start(files, options);
    servers.push(server);
    return server;
  }

  const kinds: Array<[string, () => Promise<ModelSource>]> = [
    ['a folder', async () => join(folder, 'model')],
    ['a folder with a slash at its end', async () => join(folder, 'model', '/')],
    ['a URL', async () => (await serve()).url],
    ['a URL with a slash and a query', async () => `${(await serve()).url}/?key=1`],
    ['a URL without ranges', async () => (await serve({ranges: false})).url],
    [
      'a URL without ranges and lengths',
      async () => (await serve({ranges: false, lengths: false})).url,
    ],
    ['a URL that breaks off once', async () => (await serve({ranges: false, broken: 1})).url],
    ['a map', async () => files],
    ['an object', async () => Object.fromEntries(files)],
    [
      'Blobs',
      async () => new Map([...files].map(([path, bytes]) => [path, new Blob([bytes])] as const)),
    ],
  ];
  for (const [kind, make] of kinds) {
    describe(`of ${kind}`, () => {
      it('give sizes and any part, forward and back', async () => {
        const source = open(await make());
        for (const [path, bytes] of files) {
          const file = (await source.open(path))!;
          expect([file.path, file.size]).to.deep.equal([path, bytes.length]);
          const end = bytes.length;
          const parts: Array<[number, number]> = [
            [0, 8],
            [8, 90],
            [70_000, 70_001],
            [70_001, 199_000],
            [3, 90],
            [0, end],
            [end, end],
          ];
          for (const [from, to] of parts.filter(([, to]) => to <= end)) {
            const part = await file.read(from, to);
            expect(Buffer.compare(part, bytes.subarray(from, to)), `${from} to ${to}`).to.equal(0);
          }
          await file.close();
        }
      });

      it('say that a file is not there', async () => {
        expect(await open(await make()).open('none.json')).to.equal(null);
        expect(await open(await make()).open('small.bin.none/x')).to.equal(null);
      });

      it('refuse paths that leave them', async () => {
        const source = open(await make());
        const paths = ['../secret', 'part/../../secret', '/etc/passwd', 'C:\\x', 'c:x', 'a\\b'];
        for (const path of [...paths, '', '.', 'a//b', './a', 'a/', 'a\0', 'a\n']) {
          const {message} = await rejection(source.open(path));
          expect(message, path).to.match(/^test: a file must be named by a path that stays/);
        }
      });
    });
  }

  it('read a file as a whole, up to a size', async () => {
    expect(await readWhole('test', open(files), 'small.bin', 100)).to.deep.equal(small);
    expect(await readWhole('test', open(files), 'none', 100)).to.equal(null);
    expect((await rejection(readWhole('test', open(files), 'small.bin', 99))).message).to.equal(
      'test: small.bin has 100 bytes; no more than 99 are read of such a file',
    );
  });

  it('are none of these', async () => {
    const none: unknown[] = ['', 'file:///model', 'ftp://host/model', null, 3, ['a']];
    for (const source of none) {
      expect(() => open(source as ModelSource)).to.throw(
        /^test: a source is the path of a folder, an http\(s\) URL, a FileSystemDirectoryHandle or files by name; got/,
      );
    }
    expect(() => open('http://[')).to.throw("test: 'http://[' is not a URL");
    const {message} = await rejection(open({a: 'text'} as unknown as ModelSource).open('a'));
    expect(message).to.equal("test: the file 'a' must be a Uint8Array or a Blob; got 'text'");
  });

  it('are of a folder where a text is the path of one, and not the URL of something else', () => {
    for (const path of ['a', './a', '/', 'C:\\a', 'C://a', 'a:b', 'my ftp://h', '1://a'])
      expect(isFolderPath(path), path).to.equal(true);
    for (const other of ['', 'a\0b', 's3://a', 'HF://a', 'git+ssh://h', 'a.b-1://h', 'file:///a'])
      expect(isFolderPath(other), other).to.equal(false);
  });

  describe('of a folder', () => {
    it('say that it is not there', async () => {
      const {message} = await rejection(open(join(folder, 'none')).open('config.json'));
      expect(message).to.equal(`test: there is no folder '${join(folder, 'none')}'`);
    });

    it('follow links inside, and none to the outside', async () => {
      const source = open(join(folder, 'model'));
      const file = (await source.open('inward'))!;
      expect(file.size).to.equal(100);
      await file.close();
      expect((await rejection(source.open('outward'))).message).to.equal(
        `test: outward is a link to '${join(folder, 'secret')}', which is not in the folder ` +
          `'${join(folder, 'model')}'; copy the file there if you trust it`,
      );
      expect((await rejection(source.open('beside'))).message).to.match(/not in the folder/);
      expect((await rejection(source.open('itself'))).message).to.match(/ELOOP/);
    });

    it("follow the links of Hugging Face's cache", async () => {
      const cache = join(folder, 'models--a--b');
      mkdirSync(join(cache, 'snapshots', '1f'), {recursive: true});
      mkdirSync(join(cache, 'blobs'));
      writeFileSync(join(cache, 'blobs', 'abc'), small);
      symlinkSync('../../blobs/abc', join(cache, 'snapshots', '1f', 'model.bin'));
      symlinkSync('../../../secret', join(cache, 'snapshots', '1f', 'other.bin'));
      mkdirSync(join(cache, 'copies', '1f'), {recursive: true});
      symlinkSync('../../blobs/abc', join(cache, 'copies', '1f', 'model.bin'));
      const source = open(join(cache, 'snapshots', '1f'));
      const file = (await source.open('model.bin'))!;
      expect(file.size).to.equal(100);
      await file.close();
      expect((await rejection(source.open('other.bin'))).message).to.match(/not in the folder/);
      const copies = open(join(cache, 'copies', '1f'));
      expect((await rejection(copies.open('model.bin'))).message).to.match(/not in the folder/);
    });

    it('follow those to what all models of the cache share, from models of a cache only', async () => {
      mkdirSync(join(folder, 'blobs'));
      writeFileSync(join(folder, 'blobs', 'abc'), small);
      for (const [model, isFollowed] of [
        ['models--c--d', true],
        ['my-models--c--d', false],
      ] as const) {
        const snapshot = join(folder, model, 'snapshots', '1f');
        mkdirSync(snapshot, {recursive: true});
        symlinkSync('../../../blobs/abc', join(snapshot, 'model.bin'));
        const opening = open(snapshot).open('model.bin');
        if (isFollowed) await (await opening)!.close();
        else expect((await rejection(opening)).message).to.match(/not in the folder/);
      }
    });

    it('say that something is no file', async function () {
      if (process.platform === 'win32') this.skip(); // has no named pipes in folders
      execFileSync('mkfifo', [join(folder, 'model', 'pipe')]);
      for (const path of ['part', 'pipe']) {
        const {message} = await rejection(open(join(folder, 'model')).open(path));
        expect(message).to.equal(`test: ${path} is not a file`);
      }
    });

    it('say that the system cannot read a file, or tell its size', async () => {
      const source = open(join(folder, 'model'));
      const opening = withBroken('stat', () => source.open('small.bin'));
      expect((await rejection(opening)).message).to.match(/^EIO/);
      const file = (await source.open('small.bin'))!;
      expect((await rejection(withBroken('read', () => file.read(0, 1)))).message).to.match(/^EIO/);
      await file.close();
    });

    it('give all that is asked for where the system reads less at once', async () => {
      const file = (await open(join(folder, 'model')).open('small.bin'))!;
      const read = await withShortReads(() => file.read(3, 100));
      expect(read).to.deep.equal(small.slice(3));
      await file.close();
    });

    it('say that a file became shorter', async () => {
      const path = join(folder, 'model', 'changing');
      writeFileSync(path, small);
      const file = (await open(join(folder, 'model')).open('changing'))!;
      writeFileSync(path, small.subarray(0, 10));
      expect((await rejection(file.read(0, 100))).message).to.equal(
        'test: changing had 100 bytes when it was opened and has 10 now; ' +
          'it was changed while it was read',
      );
      await file.close();
    });

    it('say that a file was rewritten, replaced or removed', async () => {
      const path = join(folder, 'model', 'changing');
      const changes: Array<[() => void, string]> = [
        [() => writeFileSync(path, large.subarray(0, 100)), 'was written to or replaced'],
        [
          () => {
            writeFileSync(`${path}.new`, small);
            renameSync(`${path}.new`, path);
          },
          'was written to or replaced',
        ],
        [() => rmSync(path), 'is gone'],
      ];
      for (const [change, how] of changes) {
        writeFileSync(path, small);
        const file = (await open(join(folder, 'model')).open('changing'))!;
        expect(await file.read(0, 10)).to.deep.equal(small.slice(0, 10));
        // the time of a change has a resolution of some milliseconds
        await new Promise((resolve) => setTimeout(resolve, 20));
        change();
        expect((await rejection(file.read(10, 100))).message).to.equal(
          `test: changing ${how}; it was changed while it was read`,
        );
        await file.close();
      }
    });
  });

  describe('of a single file', () => {
    it('are those of a link, too', async () => {
      for (const name of ['small.bin', 'inward', 'outward', 'beside']) {
        const path = join(folder, 'model', name);
        const file = (await openFileAt('test', path))!;
        expect([file.path, file.size]).to.deep.equal([path, name === 'outward' ? 6 : 100]);
        await file.close();
      }
    });

    it('are none where it is not there', async () => {
      for (const name of ['none', 'small.bin/none'])
        expect(await openFileAt('test', join(folder, 'model', name))).to.equal(null);
    });

    it('say that it is none', async () => {
      const path = join(folder, 'model');
      expect((await rejection(openFileAt('test', path))).message).to.equal(
        `test: ${path} is not a file`,
      );
    });
  });

  describe('of a URL', () => {
    it('ask for no more than is read', async () => {
      const server = await serve();
      const file = (await open(server.url).open('part/large file.bin'))!;
      await file.read(0, 100);
      await file.read(10, 2 ** 16);
      await file.read(100_000, 100_010);
      expect(server.requests).to.deep.equal([
        'GET /model/part/large%20file.bin bytes=0-65535',
        'GET /model/part/large%20file.bin bytes=100000-100009',
      ]);
    });

    it('ask for a MiB at once where small parts are read one after another', async () => {
      const long = Uint8Array.from({length: 2_500_000}, (_, i) => (i * 11) % 253);
      const server = await FileServer.start(new Map([['long', long]]));
      servers.push(server);
      const file = (await open(server.url).open('long'))!;
      for (let at = 70_000; at < long.length; at += 1000) {
        const part = await file.read(at, at + 1000);
        expect(Buffer.compare(part, long.subarray(at, at + 1000))).to.equal(0);
      }
      expect(server.requests).to.deep.equal([
        'GET /model/long bytes=0-65535',
        'GET /model/long bytes=70000-70999', // nobody knows yet that it goes on
        'GET /model/long bytes=71000-1119575',
        'GET /model/long bytes=1119000-2167575',
        'GET /model/long bytes=2167000-2499999',
      ]);
      expect(await file.read(10, 20)).to.deep.equal(long.slice(10, 20));
      expect(await file.read(100_000, 100_010)).to.deep.equal(long.slice(100_000, 100_010));
      expect(server.requests).to.have.length(6);
    });

    it('ask once where files come as a whole and are read front to back', async () => {
      const server = await serve({ranges: false});
      const file = (await open(server.url).open('part/large file.bin'))!;
      expect(file.isStreamed).to.equal(true);
      for (let at = 0; at < large.length; at += 1000) await file.read(at, at + 1000);
      expect(server.requests).to.have.length(1);
      await file.close();
    });

    it('ask for a file once more that breaks off before anything was read', async () => {
      const server = await serve({ranges: false, broken: 1});
      const file = (await open(server.url).open('part/large file.bin'))!;
      expect(Buffer.compare(await file.read(0, large.length), large)).to.equal(0);
      expect(server.requests).to.have.length(2);
      await file.close();
    });

    it('ask no longer for a file that is closed', async () => {
      let end: () => void;
      const ended = new Promise<void>((resolve) => (end = resolve));
      const server = await serve({
        answer: (_, response) => {
          response.on('close', () => end());
          response.writeHead(200, {'content-length': large.length}).write(small);
        },
      });
      const file = (await open(server.url).open('a'))!;
      await file.read(0, 10);
      await file.close();
      await ended;
    });

    it('take files of 256 MiB whose size is not told', async () => {
      const chunk = new Uint8Array(2 ** 24);
      let left = 16;
      const body = new ReadableStream({
        pull: (controller) => (left-- > 0 ? controller.enqueue(chunk) : controller.close()),
      });
      const {fetch} = globalThis;
      globalThis.fetch = async () => new Response(body);
      try {
        const file = (await open('http://localhost').open('a'))!;
        expect(file.size).to.equal(2 ** 28);
        await file.close();
      } finally {
        globalThis.fetch = fetch;
      }
    });

    it('send the headers that they are given', async () => {
      const server = await serve({ranges: false});
      const asked: Array<string | null> = [];
      const {fetch} = globalThis;
      globalThis.fetch = async (url, init) => {
        asked.push(new Headers(init?.headers).get('authorization'));
        return fetch(url, init);
      };
      try {
        const request = {headers: {authorization: 'Bearer x'}};
        const file = await openSource('test', server.url, request).open('small.bin');
        await file!.close();
      } finally {
        globalThis.fetch = fetch;
      }
      expect(asked).to.deep.equal(['Bearer x']);
    });

    it('say with which status a server refuses', async () => {
      const server = await serve({status: 500});
      const url = `${server.url}/small.bin`;
      expect((await rejection(open(server.url).open('small.bin'))).message).to.equal(
        `test: GET ${url} answered 500 Internal Server Error`,
      );
      for (const [status, text] of [
        [401, 'Unauthorized'],
        [403, 'Forbidden'],
      ] as const) {
        server.options = {status};
        expect((await rejection(open(server.url).open('small.bin'))).message).to.equal(
          `test: GET ${url} answered ${status} ${text}; ` +
            'the option `request` takes headers, such as {headers: {authorization: …}}',
        );
      }
      for (const status of [204, 416]) {
        server.options = {answer: (_, response) => void response.writeHead(status, '').end()};
        expect((await rejection(open(server.url).open('small.bin'))).message).to.equal(
          `test: GET ${url} answered ${status}`,
        );
      }
      server.options = {};
      const file = (await open(server.url).open('part/large file.bin'))!;
      server.options = {ranges: false};
      const whole = (await open(server.url).open('part/large file.bin'))!;
      await whole.read(0, 100);
      server.options = {status: 503};
      for (const read of [() => file.read(70_000, 80_000), () => whole.read(0, 100)])
        expect((await rejection(read())).message).to.match(/answered 503 Service Unavailable$/);
    });

    it('take what is gone for what is not there', async () => {
      const server = await serve({status: 410});
      expect(await open(server.url).open('small.bin')).to.equal(null);
    });

    it('take what is forbidden for what is not there, once a file has come, and say so', async () => {
      const server = await serve({});
      const source = open(server.url);
      await (await source.open('small.bin'))!.close();
      server.options = {status: 403};
      const {lines} = await captureInfo(async () => {
        for (const name of ['a', 'b']) expect(await source.open(name)).to.equal(null);
      });
      expect(lines).to.deep.equal([
        `test: files that ${server.url} answers with 403 count as missing`,
      ]);
      server.options = {status: 401};
      expect((await rejection(source.open('a'))).message).to.match(/answered 401 Unauthorized/);
    });

    it('ask for the whole file where parts come without its size', async () => {
      for (const part of ['bytes 0-99/*', 'x bytes 0-99/100', 'bytes 0-99/100 x']) {
        const server = await serve({
          answer: ({headers}, response) => {
            if (!headers.range) return false;
            response.writeHead(206, {'content-range': part}).end(small);
          },
        });
        const file = (await open(server.url).open('small.bin'))!;
        expect([file.size, await file.read(0, 100)]).to.deep.equal([100, small]);
        await file.close();
        expect(server.requests).to.deep.equal([
          'GET /model/small.bin bytes=0-65535',
          'GET /model/small.bin',
        ]);
      }
    });

    it('find the size of what is sent compressed at its end', async () => {
      const server = await serve({
        answer: (_, response) => {
          const bytes = gzipSync(large);
          const headers = {'content-encoding': 'gzip', 'content-length': bytes.length};
          response.writeHead(200, headers).end(bytes);
        },
      });
      const file = (await open(server.url).open('a'))!;
      expect(file.size).to.equal(large.length);
      expect(Buffer.compare(await file.read(10, 199_000), large.subarray(10, 199_000))).to.equal(0);
      await file.close();
    });

    it('are read where the answer has no body', async () => {
      const {fetch} = globalThis;
      globalThis.fetch = async () => new Response(null, {status: 200});
      try {
        const file = (await open('http://localhost').open('a'))!;
        expect([file.size, await file.read(0, 0)]).to.deep.equal([0, new Uint8Array()]);
        await file.close();
      } finally {
        globalThis.fetch = fetch;
      }
    });

    it('say that nobody answers, and that an answer broke off', async () => {
      const server = await serve({ranges: false, broken: 2});
      const file = (await open(server.url).open('part/large file.bin'))!;
      await file.read(0, 10);
      const error = await rejection(file.read(10, large.length));
      expect(error.message).to.match(/^test: the answer to GET .* broke off: terminated/);
      expect(error.cause).to.be.instanceOf(Error);
      await file.close();
      const {url} = server;
      await servers.pop()!.close();
      const refused = await rejection(open(url).open('small.bin'));
      expect(refused.message).to.match(
        /^test: GET .*\/small.bin failed: fetch failed \(connect ECONNREFUSED/,
      );
      expect(refused.cause).to.be.instanceOf(Error);
    });

    it('say that a file was changed in between', async () => {
      const changing = new Map([['a', large]]);
      const server = await FileServer.start(changing);
      servers.push(server);
      const file = (await open(server.url).open('a'))!;
      changing.set('a', large.subarray(0, 150_000));
      expect((await rejection(file.read(100_000, 100_010))).message).to.match(
        /had 200000 bytes and now answers with 'bytes 100000-100009\/150000'; it was changed/,
      );
    });

    it('say that a file that comes as a whole became shorter', async () => {
      const changing = new Map([['a', large]]);
      const server = await FileServer.start(changing, {ranges: false, lengths: false});
      servers.push(server);
      const file = (await open(server.url).open('a'))!;
      changing.set('a', large.subarray(0, 150_000));
      expect((await rejection(file.read(100_000, 200_000))).message).to.match(
        /^test: the answer to GET .*\/model\/a ended after 150000 bytes$/,
      );
      await file.close();
    });
  });
});
