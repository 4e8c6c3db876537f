import {spawn, type ChildProcess} from 'node:child_process';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';

/** From one token of all texts to the next. */
export interface TokenStep {
  ms: number;
  /** Of all processors together. */
  processorMs: number;
}

/** PyTorch with a model of transformers, in a process of its own, which sleeps between two generations. */
export class PytorchGeneration {
  private constructor(
    readonly versions: Record<string, string>,
    private readonly process: ChildProcess,
    private readonly lines: AsyncIterator<string>,
  ) {}

  /**
   * @param python One with torch and transformers.
   * @returns it, or what this machine lacks for it.
   */
  static async start(
    python: string,
    folder: string,
    threads: number,
  ): Promise<PytorchGeneration | {needs: string}> {
    const script = fileURLToPath(new URL('pytorch_generation.py', import.meta.url));
    const child = spawn(python, [script, folder, String(threads)], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // Threads that wait for each other sleep, and do not spin: otherwise it is some ten times slower where others work, too.
      env: {...process.env, OMP_WAIT_POLICY: 'PASSIVE'},
    });
    const failed = new Promise<string>((resolve) => {
      child.once('error', ({message}) => resolve(message));
    });
    const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]();
    const first = await Promise.race([lines.next(), failed]);
    if (typeof first === 'string' || first.done) {
      const reason = typeof first === 'string' ? first : 'it ended at once';
      return {needs: `a --python with torch and transformers (${reason})`};
    }
    const about = JSON.parse(first.value) as {versions: Record<string, string>} | {needs: string};
    return 'needs' in about ? about : new PytorchGeneration(about.versions, child, lines);
  }

  /** From one token of all texts to the next. */
  async stepsOf(prompts: ReadonlyArray<readonly number[]>, tokens: number): Promise<TokenStep[]> {
    this.process.stdin!.write(`${JSON.stringify({prompts, tokens})}\n`);
    const line = await this.lines.next();
    if (line.done) throw new Error('PyTorch ended before its answer');
    const steps = JSON.parse(line.value) as Array<[wall: number, processors: number]>;
    return steps.map(([wall, processors]) => ({ms: 1000 * wall, processorMs: 1000 * processors}));
  }

  end(): void {
    this.process.stdin!.end();
  }
}
