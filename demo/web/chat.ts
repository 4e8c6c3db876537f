/** The same question to the model as it was and as it is, side by side. */
import {buttonFocus, byId, element} from './dom';
import {messageOf} from './errors';
import type {FineTuning, PromptStyle} from './library';

const MAX_TOKENS = 80;
const closedText = 'When the run is done, both models answer here, side by side.';

export class Chat {
  private run: FineTuning | null = null;
  private abort: AbortController | null = null;
  /** Whether the model goes on with a text, and does not answer messages. */
  private goesOn = false;
  private readonly focusButton = buttonFocus(byId('chat-buttons'));

  constructor() {
    byId('chat-form').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.ask();
    });
    byId('chat-text').addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      byId<HTMLFormElement>('chat-form').requestSubmit(); // which asks for words where there are none
    });
    byId('chat-stop').addEventListener('click', ({detail}) => {
      // no second click of one that was meant for the button that stood there
      if (detail < 2) this.abort?.abort();
    });
  }

  /** @param style How the run's model is asked. */
  open(run: FineTuning, style: PromptStyle): void {
    this.run = run;
    const goesOn = style.by === 'text';
    this.goesOn = goesOn;
    this.setOpen(true);
    const text = byId<HTMLTextAreaElement>('chat-text');
    text.value = goesOn ? 'The captain' : '';
    text.placeholder = goesOn ? 'Some words to go on with' : 'Ask something';
    byId('chat-label').textContent = goesOn ? 'Words to go on with' : 'Message';
    byId('chat-send').textContent = goesOn ? 'Write' : 'Ask';
    byId('after-note').textContent = howAsked(style);
    for (const of of ['before', 'after']) byId(`chat-${of}`).replaceChildren();
  }

  close(): void {
    this.abort?.abort();
    this.run = null;
    this.setOpen(false);
  }

  private setOpen(isOpen: boolean): void {
    for (const id of ['chat-text', 'chat-send']) {
      byId<HTMLTextAreaElement | HTMLButtonElement>(id).disabled = !isOpen;
    }
    if (!isOpen) byId('after-note').textContent = closedText;
  }

  private async ask(): Promise<void> {
    const {run} = this;
    const text = byId<HTMLTextAreaElement>('chat-text').value;
    if (!run || this.abort || text.trim() === '') return;
    this.abort = new AbortController();
    this.setBusy(true);
    for (const of of ['before', 'after'] as const) byId(`chat-${of}`).replaceChildren();
    try {
      for (const of of ['after', 'before'] as const) {
        if (!this.abort.signal.aborted) await this.answer(run, text, of, this.abort.signal);
      }
    } finally {
      this.abort = null;
      this.setBusy(false);
    }
  }

  private async answer(
    run: FineTuning,
    text: string,
    of: 'before' | 'after',
    signal: AbortSignal,
  ): Promise<void> {
    const target = byId(`chat-${of}`);
    const written = document.createTextNode('');
    target.replaceChildren(...(this.goesOn ? [element('b', {textContent: text})] : []), written);
    target.classList.add('waiting');
    let isCut = false;
    try {
      const seed = 1; // the same draws for both
      const options = {of, maxTokens: MAX_TOKENS, temperature: 0.7, seed, signal};
      written.data = await run.chat(text, {
        ...options,
        onText: (piece) => written.appendData(piece),
        onCut: () => (isCut = true),
      });
      if (isCut)
        target.append(element('span', {textContent: '…', title: `cut after ${MAX_TOKENS} tokens`}));
    } catch (error) {
      if (!signal.aborted) written.data += ` (${messageOf(error)})`;
    } finally {
      target.classList.remove('waiting');
    }
  }

  private setBusy(isBusy: boolean): void {
    const [send, stop] = [
      byId<HTMLButtonElement>('chat-send'),
      byId<HTMLButtonElement>('chat-stop'),
    ];
    // with the button that goes away, focus goes beside the other one, and to it a moment later: pressed twice, a key does no harm
    if (document.activeElement === (isBusy ? send : stop)) byId('chat-buttons').focus();
    send.disabled = isBusy || this.run === null;
    stop.disabled = !isBusy;
    this.focusButton();
  }
}

/** How both models are asked, in a sentence. */
function howAsked(style: PromptStyle): string {
  if (style.by === 'text') return 'Both models go on with the same words.';
  const form = style.by === 'examples' ? style.form.replace(/\s+/g, ' ').trim() : '…';
  return form === '…'
    ? 'Ask both models the same.'
    : `Both models are asked as in the training data: “${form}”`;
}
