"""Which language a short prompt is in: told where it is sure, and then right."""

import pytest

from jevons.embed.language import Languages

pytest.importorskip("py3langid", reason="pip install --no-deps --require-hashes -r src/jevons/embed/requirements.txt")

SAID = {
    "es": [
        "¿Cuál es la capital de Australia?",
        "Escribe un correo para mi jefe diciendo que estoy enfermo hoy.",
        "Resume este texto en tres frases, por favor.",
        "¿Cómo puedo devolver un pedido que llegó roto?",
        "Necesito una receta fácil con pollo y arroz",
        "Traduce esta carta al inglés",
        "Explícame la diferencia entre una lista y una tupla en Python",
        "quiero cancelar mi suscripción",
    ],
    "en": [
        "What is the capital of Australia?",
        "Write an email to my boss saying I am sick today.",
        "Summarise this text in three sentences, please.",
        "How do I return an order that arrived broken?",
        "I need an easy recipe with chicken and rice",
        "Translate this letter into Spanish",
        "Explain the difference between a list and a tuple in Python",
        "i want to cancel my subscription",
    ],
    "fr": [
        "Quelle est la capitale de l'Australie ?",
        "Écris un courriel à mon chef pour dire que je suis malade aujourd'hui.",
        "Résume ce texte en trois phrases, s'il te plaît.",
        "Comment renvoyer une commande arrivée cassée ?",
        "J'ai besoin d'une recette facile avec du poulet et du riz",
        "Traduis cette lettre en anglais",
        "Explique-moi la différence entre une liste et un tuple en Python",
        "je veux annuler mon abonnement",
    ],
    "de": [
        "Was ist die Hauptstadt von Australien?",
        "Schreibe eine E-Mail an meinen Chef, dass ich heute krank bin.",
        "Fasse diesen Text bitte in drei Sätzen zusammen.",
        "Wie schicke ich eine Bestellung zurück, die kaputt ankam?",
        "Ich brauche ein einfaches Rezept mit Huhn und Reis",
        "Übersetze diesen Brief ins Englische",
        "Erkläre mir den Unterschied zwischen einer Liste und einem Tupel in Python",
        "ich möchte mein Abo kündigen",
    ],
    "it": [
        "Qual è la capitale dell'Australia?",
        "Scrivi un'e-mail al mio capo dicendo che oggi sono malato.",
        "Riassumi questo testo in tre frasi, per favore.",
        "Come posso restituire un ordine arrivato rotto?",
        "Mi serve una ricetta facile con pollo e riso",
        "Traduci questa lettera in inglese",
        "Spiegami la differenza tra una lista e una tupla in Python",
        "voglio disdire il mio abbonamento",
    ],
    "pt": [
        "Qual é a capital da Austrália?",
        "Escreva um e-mail para o meu chefe dizendo que estou doente hoje.",
        "Resuma este texto em três frases, por favor.",
        "Como posso devolver um pedido que chegou quebrado?",
        "Preciso de uma receita fácil com frango e arroz",
        "Traduza esta carta para o inglês",
        "Explique a diferença entre uma lista e uma tupla em Python",
        "quero cancelar minha assinatura",
    ],
    "nl": [
        "Wat is de hoofdstad van Australië?",
        "Schrijf een e-mail aan mijn baas dat ik vandaag ziek ben.",
        "Vat deze tekst samen in drie zinnen, alsjeblieft.",
        "Hoe stuur ik een bestelling terug die kapot is aangekomen?",
        "Ik heb een makkelijk recept nodig met kip en rijst",
        "Vertaal deze brief naar het Engels",
        "Leg me het verschil uit tussen een lijst en een tupel in Python",
        "ik wil mijn abonnement opzeggen",
    ],
    "pl": [
        "Jaka jest stolica Australii?",
        "Napisz e-mail do mojego szefa, że jestem dzisiaj chory.",
        "Streść ten tekst w trzech zdaniach.",
        "Jak mogę zwrócić zamówienie, które przyszło uszkodzone?",
        "Potrzebuję łatwego przepisu z kurczakiem i ryżem",
        "Przetłumacz ten list na angielski",
        "Wyjaśnij mi różnicę między listą a krotką w Pythonie",
        "chcę anulować moją subskrypcję",
    ],
    "sv": [
        "Vad heter huvudstaden i Australien?",
        "Skriv ett mejl till min chef om att jag är sjuk idag.",
        "Sammanfatta den här texten i tre meningar, tack.",
        "Hur returnerar jag en beställning som kom fram trasig?",
        "Jag behöver ett enkelt recept med kyckling och ris",
        "Översätt det här brevet till engelska",
        "Förklara skillnaden mellan en lista och en tupel i Python",
        "jag vill säga upp min prenumeration",
    ],
    "tr": [
        "Avustralya'nın başkenti neresidir?",
        "Patronuma bugün hasta olduğumu söyleyen bir e-posta yaz.",
        "Bu metni üç cümlede özetle lütfen.",
        "Kırık gelen bir siparişi nasıl iade edebilirim?",
        "Tavuk ve pirinçle kolay bir tarife ihtiyacım var",
        "Bu mektubu İngilizceye çevir",
        "Python'da liste ile demet arasındaki farkı açıkla",
        "aboneliğimi iptal etmek istiyorum",
    ],
    "ru": [
        "Какая столица Австралии?",
        "Напиши письмо моему начальнику, что я сегодня болен.",
        "Кратко перескажи этот текст в трёх предложениях.",
        "Как вернуть заказ, который пришёл сломанным?",
        "Мне нужен простой рецепт с курицей и рисом",
        "Переведи это письмо на английский",
        "Объясни разницу между списком и кортежем в Python",
        "хочу отменить подписку",
    ],
    "uk": [
        "Яка столиця Австралії?",
        "Напиши листа моєму начальнику, що я сьогодні хворий.",
        "Стисло перекажи цей текст у трьох реченнях.",
        "Як повернути замовлення, яке прийшло зламаним?",
        "Мені потрібен простий рецепт із куркою та рисом",
        "Переклади цей лист англійською",
        "Поясни різницю між списком і кортежем у Python",
        "хочу скасувати підписку",
    ],
    "zh": [
        "澳大利亚的首都是哪里?",
        "给我的老板写一封邮件,说我今天生病了。",
        "请用三句话总结这篇文章。",
        "收到的商品坏了,怎么退货?",
        "我需要一个简单的鸡肉米饭食谱",
        "把这封信翻译成英文",
        "解释一下 Python 中列表和元组的区别",
        "我想取消订阅",
    ],
    "ja": [
        "オーストラリアの首都はどこですか。",
        "今日は体調が悪いと上司にメールを書いてください。",
        "この文章を三つの文で要約してください。",
        "壊れて届いた注文はどうやって返品しますか。",
        "鶏肉とご飯を使った簡単なレシピが欲しい",
        "この手紙を英語に翻訳して",
        "Pythonのリストとタプルの違いを説明して",
        "定期購読を解約したい",
    ],
    "ko": [
        "호주의 수도는 어디인가요?",
        "오늘 아프다고 상사에게 이메일을 써 주세요.",
        "이 글을 세 문장으로 요약해 주세요.",
        "파손되어 도착한 주문을 어떻게 반품하나요?",
        "닭고기와 밥으로 만드는 쉬운 요리법이 필요해요",
        "이 편지를 영어로 번역해 줘",
        "파이썬에서 리스트와 튜플의 차이를 설명해 줘",
        "구독을 취소하고 싶어요",
    ],
    "ar": [
        "ما هي عاصمة أستراليا؟",
        "اكتب رسالة إلى مديري تقول إنني مريض اليوم.",
        "لخص هذا النص في ثلاث جمل من فضلك.",
        "كيف يمكنني إرجاع طلب وصل مكسورا؟",
        "أحتاج إلى وصفة سهلة بالدجاج والأرز",
        "ترجم هذه الرسالة إلى الإنجليزية",
        "اشرح لي الفرق بين القائمة والصف في بايثون",
        "أريد إلغاء اشتراكي",
    ],
    "hi": [
        "ऑस्ट्रेलिया की राजधानी क्या है?",
        "मेरे बॉस को एक ईमेल लिखो कि मैं आज बीमार हूँ।",
        "कृपया इस पाठ को तीन वाक्यों में संक्षेप में बताइए।",
        "टूटा हुआ ऑर्डर मैं कैसे वापस करूँ?",
        "मुझे चिकन और चावल की एक आसान रेसिपी चाहिए",
        "इस पत्र का अंग्रेज़ी में अनुवाद करो",
        "पायथन में सूची और टपल का अंतर समझाइए",
        "मैं अपनी सदस्यता रद्द करना चाहता हूँ",
    ],
    "he": [
        "מהי בירת אוסטרליה?",
        "כתוב אימייל לבוס שלי שאני חולה היום.",
        "סכם את הטקסט הזה בשלושה משפטים בבקשה.",
        "איך מחזירים הזמנה שהגיעה שבורה?",
        "אני צריך מתכון קל עם עוף ואורז",
        "תרגם את המכתב הזה לאנגלית",
        "הסבר לי את ההבדל בין רשימה לטאפל בפייתון",
        "אני רוצה לבטל את המינוי שלי",
    ],
    "el": [
        "Ποια είναι η πρωτεύουσα της Αυστραλίας;",
        "Γράψε ένα email στο αφεντικό μου ότι είμαι άρρωστος σήμερα.",
        "Συνόψισε αυτό το κείμενο σε τρεις προτάσεις.",
        "Πώς μπορώ να επιστρέψω μια παραγγελία που έφτασε σπασμένη;",
        "Χρειάζομαι μια εύκολη συνταγή με κοτόπουλο και ρύζι",
        "Μετάφρασε αυτό το γράμμα στα αγγλικά",
        "Εξήγησέ μου τη διαφορά ανάμεσα σε λίστα και πλειάδα στην Python",
        "θέλω να ακυρώσω τη συνδρομή μου",
    ],
}
NONE = [
    "ok",
    "yes",
    "42",
    "def f(x): return x + 1",
    "https://example.com/a/b?c=1",
    "SELECT * FROM users WHERE id = 7;",
    "BTC ETH SOL",
    "John Smith, 14 Elm Rd",
    '{"a": [1, 2, 3], "b": null}',
    "git rebase -i HEAD~3",
    "import numpy as np\nx = np.zeros((3, 4))\nprint(x.sum())",
    "asdf qwer zxcv",
    "1 + 1 = ?",
    "React useEffect useState Redux",
    "2026-11-22 14:03:11 ERROR kernel oops",
]


@pytest.fixture(scope="module")
def languages() -> Languages:
    return Languages()


def test_what_is_told_is_right(languages: Languages) -> None:
    told = [(code, languages.of(text)) for code, texts in SAID.items() for text in texts]
    assert sum(found != "" for _, found in told) / len(told) > 0.97
    assert all(found in (code, "") for code, found in told)


def test_of_what_is_no_language_nothing_is_told(languages: Languages) -> None:
    assert [languages.of(text) for text in NONE] == [""] * len(NONE)


def test_the_line_that_asks_decides_over_what_it_asks_about(languages: Languages) -> None:
    letter = "Dear Sir or Madam, I am writing to you because of the order that arrived broken last week. " * 9
    assert languages.of("Traduce esta carta al español y no cambies nada:\n" + letter) == "es"
    assert languages.of("Hola:\n\n" + SAID["es"][1]) == "es"
    assert languages.of(letter) == "en"


def test_any_text_can_be_read(languages: Languages) -> None:
    for text in ("", "\n\n", "€" * 1000, "\ud800"):
        assert languages.of(text) == ""


def test_codes_are_of_two_letters(languages: Languages) -> None:
    assert {"es", "en", "zh"} <= languages.known
    assert all(len(code) == 2 for code in languages.known)
