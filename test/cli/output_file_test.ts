import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {join} from 'node:path';
import {expect} from 'chai';
import {openOutputFile} from '../../src/cli/output_file';
import {fastBackend} from '../support/backends';
import {resultOf} from '../support/programs';
import {onSmallDisk} from '../support/small_disk';
import {start} from './cli_process';
import {copyWithNaN, createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli, type CliRun} from './run_cli';

describe('the file that a command writes its result to', function () {
  this.timeout(60_000);
  let folder: ModelFolder;
  let model: string;
  let count = 0;
  before(async () => {
    folder = await createModelFolder();
    // a copy, which may be damaged
    model = join(folder.path, 'copy');
    mkdirSync(model);
    for (const name of readdirSync(folder.model))
      copyFileSync(join(folder.model, name), join(model, name));
  });
  after(() => folder.remove());

  const newFile = (): string => join(folder.path, `file${count++}`);
  const commands: Record<
    string,
    (output: string, data: string, ...more: string[]) => Promise<CliRun>
  > = {
    scores: (output, data, ...more) =>
      runCli([
        ...['scores', '--model', model, '--backend', fastBackend, '--data', data, '--batches', '1'],
        ...['--max-length', '12', '--output', output, ...more],
      ]),
    generate: (output, data, ...more) =>
      runCli([
        ...['generate', '--model', model, '--backend', fastBackend, '--prompts', data],
        ...['--max-new-tokens', '1', '--output', output, ...more],
      ]),
  };

  for (const [command, run] of Object.entries(commands)) {
    describe(command, () => {
      const dataFile = (): string =>
        folder.writeLines(
          `data${count++}.jsonl`,
          command === 'scores' ? texts(8) : [{prompt: 'the cat'}],
        );
      const [option, read] =
        command === 'scores' ? ['--data', '--data'] : ['--prompts', '--prompts'];

      it('is never one that is read, whatever its name', async () => {
        for (const more of [[], ['--overwrite']]) {
          const data = dataFile();
          const content = readFileSync(data, 'utf8');
          const link = newFile();
          symlinkSync(data, link);
          const second = newFile();
          linkSync(data, second);
          const linked = newFile();
          symlinkSync(folder.path, linked);
          const other = join(linked, data.slice(folder.path.length + 1));
          for (const output of [data, link, second, other]) {
            const {code, stderr} = await run(output, data, ...more);
            expect([code, stderr]).to.deep.equal([
              2,
              `error: ${command}: --output: '${output}' is the file of ${read}, which is read; name another one\n`,
            ]);
            expect((await run(output, link, ...more)).code).to.equal(2);
            expect(readFileSync(data, 'utf8')).to.equal(content);
          }
        }
      });

      it('is never one of the model, nor the config', async () => {
        const before = readFileSync(join(model, 'config.json'), 'utf8');
        const data = dataFile();
        const second = newFile();
        linkSync(join(model, 'config.json'), second);
        for (const output of [join(model, 'config.json'), second]) {
          for (const name of [model, join(model, 'model.safetensors')]) {
            const {code, stderr} = await run(output, data, '--overwrite', '--model', name);
            expect(code, stderr).to.equal(2);
            expect(stderr).to.match(/--output: '.*' is (a file|the file) of --model/);
            expect(readFileSync(join(model, 'config.json'), 'utf8')).to.equal(before);
          }
        }
        const template = folder.write(`template${count++}.jinja`, '{{ messages[0].content }}');
        const withTemplate = await run(template, data, '--overwrite', '--chat-template', template);
        expect(withTemplate.stderr).to.match(/is the file of --chat-template, which is read/);
        expect(readFileSync(template, 'utf8')).to.equal('{{ messages[0].content }}');
        const config = folder.write(`config${count++}.json`, JSON.stringify({batchSize: 2}));
        const own =
          command === 'scores'
            ? config
            : folder.write(config.slice(folder.path.length + 1), '{"batch": 2}');
        const {code, stderr} = await run(own, data, '--overwrite', '--config', own);
        expect(code, stderr).to.equal(2);
        expect(stderr).to.match(/is the file of --config, which is read/);
      });

      it('is another one that is there only with --overwrite', async () => {
        const output = newFile();
        writeFileSync(output, 'a novel');
        const data = dataFile();
        const {code, stderr} = await run(output, data);
        expect([code, stderr]).to.deep.equal([
          2,
          `error: ${command}: --output: there is a file '${output}' already; name another one, or give --overwrite, which replaces it\n`,
        ]);
        expect(readFileSync(output, 'utf8')).to.equal('a novel');
        const config = folder.write(`config${count++}.json`, '{"overwrite": true}');
        const byConfig = await run(output, data, '--config', config);
        expect(byConfig.code).to.equal(2);
        expect(byConfig.stderr).to.match(/overwrite is possible on the command line only/);
        expect(readFileSync(output, 'utf8')).to.equal('a novel');
        expect((await run(output, data, '--overwrite')).code).to.equal(0);
        expect(readFileSync(output, 'utf8')).to.match(/^\{/);
      });

      it('may be a new one, also by a link that the user names, or a device', async () => {
        const [link, target] = [newFile(), newFile()];
        symlinkSync(target, link);
        const {code, stderr} = await run(link, dataFile());
        expect(code, stderr).to.equal(0);
        expect(readFileSync(target, 'utf8')).to.match(/^\{/);
        if (existsSync('/dev/null')) expect((await run('/dev/null', dataFile())).code).to.equal(0);
      });

      it('has --overwrite beside it', async () => {
        const args = [command, '--model', model, option, dataFile(), '--overwrite'];
        const {code, stderr} = await runCli(args);
        expect([code, stderr]).to.deep.equal([
          2,
          `error: ${command}: --overwrite has no meaning with no --output\n`,
        ]);
      });
    });
  }

  it('is not replaced if it has come while the command ran', async () => {
    const output = newFile();
    writeFileSync(output, 'a novel');
    const result = await openOutputFile(output, false).catch(
      (error: unknown) => (error as Error).message,
    );
    expect(result).to.match(/EEXIST/);
    expect(readFileSync(output, 'utf8')).to.equal('a novel');
  });

  describe('with --overwrite', () => {
    /** A folder with a file, and a link to it. */
    const oldFile = (): {place: string; output: string; link: string} => {
      const place = newFile();
      mkdirSync(place);
      const [output, link] = [join(place, 'out'), join(place, 'link')];
      writeFileSync(output, 'a novel');
      chmodSync(output, 0o640);
      symlinkSync('out', link);
      return {place, output, link};
    };
    const isAsBefore = ({place, output, link}: ReturnType<typeof oldFile>): void => {
      expect(readFileSync(output, 'utf8')).to.equal('a novel');
      expect(readlinkSync(link)).to.equal('out');
      expect(readdirSync(place).sort()).to.deep.equal(['link', 'out']);
    };
    /** Arguments of a `generate` that takes long. */
    const longRun = (output: string, newTokens: number): string[] => [
      ...['generate', '--model', long.model, '--backend', 'wasm', '--prompts'],
      ...[long.writeLines('prompts.jsonl', [{prompt: 'the cat'}]), '--output', output],
      ...['--overwrite', '--max-new-tokens', String(newTokens)],
    ];
    let long: ModelFolder;
    before(async () => void (long = await createModelFolder({maxPositionEmbeddings: 100_000})));
    after(() => long.remove());

    it('keeps the link and the permissions, and leaves nothing beside it', async () => {
      for (const [command, run] of Object.entries(commands)) {
        const lines = command === 'scores' ? texts(8) : [{prompt: 'the cat'}];
        const data = folder.writeLines(`data${count++}.jsonl`, lines);
        const {place, output, link} = oldFile();
        const {code, stderr} = await run(link, data, '--overwrite');
        expect(code, stderr).to.equal(0);
        expect(readFileSync(output, 'utf8')).to.match(/^\{/);
        expect(readlinkSync(link)).to.equal('out');
        expect(statSync(output).mode & 0o777).to.equal(0o640);
        expect(readdirSync(place).sort()).to.deep.equal(['link', 'out']);
      }
    });

    it('keeps the older file if the run fails: weights that are not finite', async () => {
      const old = oldFile();
      const model = copyWithNaN(folder);
      const data = folder.writeLines(`data${count++}.jsonl`, [{prompt: 'the cat'}]);
      const {code, stderr} = await commands['generate']!(
        ...([old.link, data, '--overwrite', '--model', model] as const),
      );
      expect(code, stderr).to.equal(1);
      expect(stderr).to.match(/finite/);
      isAsBefore(old);
    });

    it('keeps the older file if the disk is full', async () => {
      const small = newFile();
      mkdirSync(small);
      const data = folder.writeLines(`data${count++}.jsonl`, [
        {prompt: 'the cat'},
        {prompt: 'the cat', note: 'x'.repeat(100_000)},
      ]);
      await onSmallDisk(small, async () => {
        const output = join(small, 'out');
        writeFileSync(output, 'a novel');
        const {code, stderr} = await commands['generate']!(output, data, '--overwrite');
        expect(code, stderr).to.equal(1);
        expect(stderr).to.match(/cannot be written: ENOSPC/);
        expect(readFileSync(output, 'utf8')).to.equal('a novel');
        expect(readdirSync(small)).to.deep.equal(['out']);
      });
    });

    it('keeps the older file if the process is killed, and the next one removes what is left', async () => {
      const old = oldFile();
      const child = start(longRun(old.link, 90_000));
      child.stderr!.on('data', (text: Buffer) => {
        if (text.includes('tokens a second')) child.kill('SIGKILL');
      });
      expect((await resultOf(child)).signal).to.equal('SIGKILL');
      expect(readFileSync(old.output, 'utf8')).to.equal('a novel');
      const {code, stderr} = await runCli(longRun(old.link, 2));
      expect(code, stderr).to.equal(0);
      expect(readdirSync(old.place).sort()).to.deep.equal(['link', 'out']);
    });

    it('replaces it by what there is at Ctrl-C', async () => {
      const {output, link} = oldFile();
      const {code, stderr} = await runCli(longRun(link, 90_000), null, 'tokens a second');
      expect(code, stderr).to.equal(130);
      expect(readFileSync(output, 'utf8')).to.match(/^\{.*"finishReason":"interrupted".*\}\n$/);
    });
  });
});
