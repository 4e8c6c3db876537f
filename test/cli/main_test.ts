import {closeSync, existsSync, openSync} from 'node:fs';
import {expect} from 'chai';
import {stopSignals, type StopSignal} from '../../src/cli/interruption';
import {thorough} from '../support/backends';
import {resultOf} from '../support/programs';
import {start} from './cli_process';
import {createModelFolder, texts, type ModelFolder} from './model_folder';

describe('tfjs-owlore in a process of its own', function () {
  this.timeout(120_000);
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  const generate = (...more: string[]): string[] => {
    return ['generate', '--model', folder.model, '--backend', 'wasm', ...more];
  };

  it('writes the text to stdout and the rest to stderr, exit code 0', async () => {
    const args = generate('--prompt', 'the cat', '--max-new-tokens', '6');
    const [plain, json] = await Promise.all([
      resultOf(start(args)),
      resultOf(start([...args, '--json'])),
    ]);
    expect(plain.code).to.equal(0);
    const {text} = JSON.parse(json.stdout) as {text: string};
    expect(plain.stdout).to.equal(`${text}\n`);
    expect(plain.stderr.split('\n')).to.have.length(3);
    expect(json.stdout.trimEnd()).not.to.include('\n');
    expect(json.code).to.equal(0);
  });

  it('reads stdin', async () => {
    const child = start(generate('--max-new-tokens', '2', '--json'));
    const done = resultOf(child);
    child.stdin!.end('the cat\n');
    const {code, stdout} = await done;
    expect(code).to.equal(0);
    const {promptTokens} = JSON.parse(stdout) as {promptTokens: number};
    expect(promptTokens).to.equal(folder.tokenizer.encode('the cat').length);
  });

  it('fails with 1, and with 2 if it was used wrongly', async () => {
    const empty = folder.write('empty.jsonl', '');
    const [failed, wrong] = await Promise.all(
      [
        ['evaluate', '--model', folder.model, '--data', empty],
        ['evaluate', '--model', folder.model, '--date', empty, '--json'],
      ].map((args) => resultOf(start(args))),
    );
    expect([failed!.code, failed!.stdout]).to.deep.equal([1, '']);
    expect(failed!.stderr).to.match(/^error: .*empty\.jsonl is empty\n$/);
    expect(wrong!.code).to.equal(2);
    expect(JSON.parse(wrong!.stdout)).to.deep.equal({
      error: "unknown option '--date' (Did you mean --data?)",
    });
    expect(wrong!.stderr).to.equal("error: unknown option '--date' (Did you mean --data?)\n");
  });

  for (const [signal, exitCode] of Object.entries(stopSignals) as Array<[StopSignal, number]>) {
    if (!thorough && signal !== 'SIGINT') continue;
    it(`ends at ${signal} while it computes, exit code ${exitCode}`, async () => {
      // read at once, so that nothing but the command itself gives way
      const data = folder.writeLines('many.jsonl', texts(20_000));
      const args = ['--model', folder.model, '--data', data, '--backend', 'wasm'];
      const child = start(['evaluate', ...args]);
      const done = resultOf(child);
      // the model is there, and what follows takes long
      await new Promise<void>((resolve, reject) => {
        child.stderr!.on('data', (text: Buffer) => {
          if (text.includes('parameters')) setTimeout(resolve, 300);
        });
        void done.then(({stderr}) => reject(new Error(`ended before it was stopped: ${stderr}`)));
      });
      child.kill(signal);
      const {code, stdout} = await done;
      expect([code, stdout]).to.deep.equal([exitCode, '']);
    });
  }

  it('ends in silence if nobody reads on', async () => {
    const child = start(generate('--prompt', 'the cat'));
    const done = resultOf(child);
    child.stdout!.once('data', () => child.stdout!.destroy());
    const {code, stderr} = await done;
    expect(code).to.equal(0);
    expect(stderr).not.to.match(/EPIPE|error/);
  });

  it('goes on if nobody reads its messages', async () => {
    const child = start(generate('--prompt', 'the cat', '--max-new-tokens', '6', '--json'));
    const done = resultOf(child);
    child.stderr!.destroy();
    const {code, stdout} = await done;
    expect(code).to.equal(0);
    expect(JSON.parse(stdout)).to.have.property('text');
  });

  it('fails if the result cannot be written', async function () {
    if (!existsSync('/dev/full')) this.skip();
    const full = openSync('/dev/full', 'w');
    const child = start(generate('--prompt', 'the cat', '--json'), {
      stdio: ['ignore', full, 'pipe'],
    });
    const {code, stderr} = await resultOf(child);
    closeSync(full);
    expect(code).to.equal(1);
    expect(stderr).to.match(
      /\nerror: the result cannot be written to stdout: ENOSPC.*; send it to another place\n$/,
    );
  });
});
