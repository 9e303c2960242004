// What is thrown by the backend, as a value.

import type { AppError } from '../backend/types';

export function toAppError(thrown: unknown): AppError {
  if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && typeof thrown.code === 'string') {
    const { code, detail, request_id, params } = thrown as Partial<AppError> & { code: string };
    return { code, detail: detail ?? null, request_id: request_id ?? null, params: params ?? {} };
  }
  // A bug: shown as such, with the text for whoever mends it.
  return { code: 'other', detail: String(thrown), request_id: null, params: {} };
}

/** What a person copies for whoever helps them. */
export function errorDetails(error: AppError, doing: string): string {
  return [
    `Tillwatch: ${doing}`,
    `time: ${new Date().toISOString()}`,
    `code: ${error.code}`,
    error.request_id && `request id: ${error.request_id}`,
    error.detail && `detail: ${error.detail}`,
    ...Object.entries(error.params).map(([key, value]) => `${key}: ${value}`),
  ]
    .filter(Boolean)
    .join('\n');
}
