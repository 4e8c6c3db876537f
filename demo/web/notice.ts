/** The one place where the page says that something went wrong, or that something can be done. */
import {byId, element} from './dom';
import {wordsOf} from './errors';

export interface Action {
  label: string;
  act: () => void;
}

interface NoticeOptions {
  kind?: 'bad' | 'friendly';
  /** What else there is to know, folded. */
  details?: string | undefined;
  onClose?: () => void;
  /** Whether it is about what the form has, and is out of date when that changes. */
  isOfForm?: boolean;
}

let isOfForm = false;

/** The page ends with room for it, so that it hides nothing that one cannot scroll to. */
new ResizeObserver(([entry]) => {
  const height = entry!.borderBoxSize[0]!.blockSize;
  document.body.style.setProperty('--notice', `${height}px`);
}).observe(byId('notice'));

/** Shows a message with what can be done about it. */
export function showNotice(
  text: string,
  actions: readonly Action[] = [],
  {kind = 'bad', details, onClose = () => undefined, ...about}: NoticeOptions = {},
): void {
  isOfForm = about.isOfForm ?? false;
  const notice = byId('notice');
  notice.classList.toggle('friendly', kind === 'friendly');
  const buttons = [...actions, {label: 'Close', act: onClose}].map(({label, act}) => {
    const button = element('button', {type: 'button', textContent: label});
    button.addEventListener('click', () => {
      hideNotice();
      act();
    });
    return button;
  });
  const words = element('div', {className: 'words'}, element('p', {textContent: text}));
  if (details !== undefined)
    words.append(
      element(
        'details',
        {},
        element('summary', {textContent: 'Details'}),
        element('p', {textContent: details}),
      ),
    );
  notice.replaceChildren(words, element('div', {className: 'buttons'}, ...buttons));
  notice.hidden = false;
}

/** Shows what an error is, and the way out. */
export function showError(
  error: unknown,
  actions: readonly Action[] = [],
  about: Pick<NoticeOptions, 'isOfForm'> = {},
): void {
  const {text, details} = wordsOf(error);
  showNotice(text, actions, {details, ...about});
}

/** Whether a message is the one that is shown. */
export function isNoticed(text: string): boolean {
  const notice = byId('notice');
  return !notice.hidden && notice.querySelector('p')?.textContent === text;
}

/** Calls `work` when another message is shown, or none any more. */
export function onNotice(work: () => void): void {
  const changes = {attributeFilter: ['hidden'], childList: true};
  new MutationObserver(work).observe(byId('notice'), changes);
}

export function hideNotice(): void {
  byId('notice').hidden = true;
}

/** Hides what was said about an earlier choice. */
export function hideFormNotice(): void {
  if (isOfForm) hideNotice();
}
