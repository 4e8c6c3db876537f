import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {backends, itAtLength, thorough} from '../../support/backends';
import {runProgram} from '../../support/programs';
import type {ThreadsRun} from './threads_program';

if (backends.includes('wasm')) {
  describe('threads on wasm', function () {
    this.timeout(120_000);

    async function run(
      task: string,
      threads: number,
      ...more: string[]
    ): Promise<ThreadsRun & {stderr: string; code: number | null}> {
      const env = {OWLORE_THREADS: String(threads)};
      const {stdout, stderr, code} = await runProgram(
        'test/kernels/wasm/threads_program',
        [task, ...more],
        {
          env,
        },
      );
      if (stdout === '') throw new Error(`ended with ${code}: ${stderr}`);
      return {...(JSON.parse(stdout) as ThreadsRun), stderr, code};
    }

    it('compute the same bits, however many there are', async () => {
      const wanted = thorough ? 'all' : 'head in loss,products';
      const one = await run(wanted, 1);
      expect(one).to.include({threads: 1, helped: 0, stderr: '', code: 0});
      for (const threads of thorough ? [2, 3, 8] : [3]) {
        const {results, helped, ...rest} = await run(wanted, threads);
        expect(rest).to.deep.equal({threads, stderr: '', code: 0});
        // how many of a training's calls have a worker's help depends on what else the machine does
        expect(helped).to.be.greaterThan(0);
        expect(results).to.deep.equal({...one.results, heap: 'SharedArrayBuffer'});
      }
    });

    itAtLength('go on from what another number of them has left', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'owlore-threads-'));
      const [through, parts] = [join(folder, 'through'), join(folder, 'parts')];
      const train = async (threads: number, target: string, steps: number): Promise<string> => {
        const task = 'a training that goes on';
        return (await run(task, threads, target, String(steps))).results[task]!;
      };
      try {
        const whole = await train(1, through, 7);
        const found = [
          await train(3, parts, 3),
          await train(2, parts, 5),
          await train(1, parts, 7),
        ];
        expect(found.at(-1)).to.equal(whole);
        expect(new Set(found).size).to.equal(3);
      } finally {
        rmSync(folder, {recursive: true});
      }
    });

    it('leave WebAssembly as it was, once the backend is there', async () => {
      const {results} = await run('full', 2);
      expect(results).to.include({heap: 'SharedArrayBuffer', instantiate: 'true'});
    });

    it('go on alone, and say so, where a worker was killed', async () => {
      const task = 'a worker that is killed';
      const [{results: right}, {results, threads, stderr, code}] = await Promise.all([
        run('full', 1),
        run(task, 3),
      ]);
      expect([threads, code, results[task]]).to.deep.equal([1, 0, right['full']]);
      expect(stderr).to.equal(
        'tfjs-owlore: the wasm kernels go on with one thread, because a worker has ended: exit code 1\n',
      );
    });

    it('throw where a worker dies in a call, and go on with one', async () => {
      const [{results: right}, {results, threads, stderr, code}] = await Promise.all([
        run('full', 1),
        run('a worker that dies in a call', 2),
      ]);
      expect([threads, code]).to.deep.equal([1, 0]);
      expect(results['a worker that dies in a call']).to.match(
        /has ended in a call: values may be/,
      );
      expect(results['a worker that dies in a call']).to.match(new RegExp(`; ${right['full']}$`));
      expect(stderr).to.match(/one thread, because a worker has ended: it has ended in a call\n$/);
    });

    it('throw where a function traps, and go on as before', async () => {
      const [{results: right}, {results, threads}] = await Promise.all([
        run('full', 1),
        run('a function that traps', 2),
      ]);
      expect(threads).to.equal(2);
      expect(results['a function that traps']).to.match(/^memory access out of bounds|has failed/);
      expect(results['a function that traps']).to.match(new RegExp(`; ${right['full']}$`));
    });

    it('do not share a decoder’s products where other programs want the processors, and write the same', async () => {
      const task = 'other programs beside a decoder';
      const [one, two] = await Promise.all([run(task, 1), run(task, 2)]);
      const [text] = one.results[task]!.split(',');
      expect(one.results[task]).to.equal(`${text}, without workers; ${text}, without workers`);
      expect(two.results[task]).to.equal(`${text}, with workers; ${text}, without workers`);
    });

    for (const task of ['another backend', 'memory that grows', 'two trainings side by side']) {
      itAtLength(`compute the same with ${task}`, async () => {
        const [one, three] = await Promise.all([run(task, 1), run(task, 3)]);
        expect(three.results[task]).to.equal(one.results[task]);
        expect([three.stderr, three.code]).to.deep.equal(['', 0]);
      });
    }

    it('do not hold a process that ends in a step', async () => {
      expect((await run('process.exit in a step', 3)).code).to.equal(7);
    });
  });
}
