/** Answers of the model, as it is and as it was before the training. */
import {loadLlama, type LoadedLlama} from '../llama/index';
import type {Begun} from './begin';
import {FineTuningError} from './errors';
import {codedError} from './failure';
import type {SentChatOptions} from './messages';
import {merged, requestOf} from './model';
import type {WorkerChatMessage} from './options';
import type {Settings} from './settings';
import {promptIds, writeText, type WrittenText} from './texts';

/** Most new tokens, where nothing else was asked for. */
const MAX_TOKENS = 128;

export class Chat {
  /** The model as it was; null until somebody asks it. */
  private before: Promise<LoadedLlama> | null = null;

  constructor(private readonly settings: Settings) {}

  async answer(
    begun: Begun,
    messages: WorkerChatMessage[] | string,
    {of, maxTokens = MAX_TOKENS, temperature = 0, seed = null}: SentChatOptions,
    onText: (text: string) => void,
    signal: AbortSignal,
  ): Promise<WrittenText> {
    const {loaded, tokenizer, data, method} = begun;
    const ids = promptIds(tokenizer, data, messages);
    const positions = loaded.config.maxPositionEmbeddings;
    const room = positions - ids.length;
    if (room < 1)
      throw new FineTuningError(
        'bad-option',
        `chat: the model takes ${positions} tokens, and the chat has ${ids.length}; begin a new one`,
      );
    const options = {maxNewTokens: Math.min(maxTokens, room), temperature, seed, signal};
    const write = (model: LoadedLlama): Promise<WrittenText> =>
      writeText({...model, tokenizer}, ids, options, onText);
    return of === 'before'
      ? write(await this.modelBefore(begun))
      : merged(method, () => write(loaded));
  }

  /** The model as it was before the training, which stays in memory from then on. */
  private async modelBefore(begun: Begun): Promise<LoadedLlama> {
    const {settings} = this;
    if (!this.before) checkRoom(begun);
    this.before ??= loadLlama(settings.model, {
      frozenDtype: 'auto',
      ...requestOf(settings),
    });
    try {
      return await this.before;
    } catch (error) {
      this.before = null;
      throw await codedError(error, 'wrong-file');
    }
  }
}

/** @throws FineTuningError if the model does not fit beside what there is. */
function checkRoom({loaded: {model, dtype}, meter, limit}: Begun): void {
  if (limit === null) return;
  const needed = model.countParams() * (dtype === 'BF16' ? 2 : 4);
  const free = Math.max(0, limit - meter.current());
  if (needed <= free) return;
  const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
  throw new FineTuningError(
    'no-memory',
    `chat: the model as it was takes ${megabytes(needed)} more, and ${megabytes(free)} are free of the ${megabytes(limit)} that this tab may have; ` +
      'ask the model as it is alone. What it wrote before the training is in the samples of step 0',
  );
}
